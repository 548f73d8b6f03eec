"""What happens in one instant: one set of equations per file."""

from jaxrnn.cells.elman import Elman, ElmanCarry, ElmanParams
from jaxrnn.cells.gru import GRU, GRUCarry, GRUGates, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMGates, LSTMParams
from jaxrnn.cells.projected_lstm import ProjectedLSTM, ProjectedLSTMParams
from jaxrnn.cells.reset_before_gru import ResetBeforeGRU, ResetBeforeGRUParams

__all__ = [
    "GRU",
    "LSTM",
    "Elman",
    "ElmanCarry",
    "ElmanParams",
    "GRUCarry",
    "GRUGates",
    "GRUParams",
    "LSTMCarry",
    "LSTMGates",
    "LSTMParams",
    "ProjectedLSTM",
    "ProjectedLSTMParams",
    "ResetBeforeGRU",
    "ResetBeforeGRUParams",
]
