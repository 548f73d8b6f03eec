"""What happens in one instant: one set of equations per file."""

from jaxrnn.cells.elman import Elman, ElmanCarry, ElmanParams
from jaxrnn.cells.gru import GRU, GRUCarry, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams
from jaxrnn.cells.reset_before_gru import ResetBeforeGRU, ResetBeforeGRUParams

__all__ = [
    "GRU",
    "LSTM",
    "Elman",
    "ElmanCarry",
    "ElmanParams",
    "GRUCarry",
    "GRUParams",
    "LSTMCarry",
    "LSTMParams",
    "ResetBeforeGRU",
    "ResetBeforeGRUParams",
]
