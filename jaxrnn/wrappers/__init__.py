"""Cell to cell: wrappers that touch only what crosses a cell's border."""

from jaxrnn.wrappers.masked import Masked
from jaxrnn.wrappers.recording import Record, Recording
from jaxrnn.wrappers.resetting import Resetting, ResettingParams
from jaxrnn.wrappers.side_by_side import SideBySide
from jaxrnn.wrappers.state_dropout import StateDropout
from jaxrnn.wrappers.token_cell import TokenCell, TokenCellParams, token_cell
from jaxrnn.wrappers.update_dropout import UpdateDropout
from jaxrnn.wrappers.wrapper import Accompanied, Wrapper
from jaxrnn.wrappers.zoneout import Zoneout

__all__ = [
    "Accompanied",
    "Masked",
    "Record",
    "Recording",
    "Resetting",
    "ResettingParams",
    "SideBySide",
    "StateDropout",
    "TokenCell",
    "TokenCellParams",
    "UpdateDropout",
    "Wrapper",
    "Zoneout",
    "token_cell",
]
