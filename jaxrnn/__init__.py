"""jaxrnn: recurrent networks as pure functions in JAX.

A cell describes one instant, a fold joins instants into a sequence and decides how the derivative
is taken, a network maps a sequence to a sequence. Parameters, carry and random keys are arguments.
"""

from jaxrnn import folds, initializers
from jaxrnn.cell import Cell, Layer, ManualCell
from jaxrnn.cells import (
    GRU,
    LSTM,
    Elman,
    ElmanCarry,
    ElmanParams,
    GRUCarry,
    GRUParams,
    LSTMCarry,
    LSTMParams,
    ResetBeforeGRU,
    ResetBeforeGRUParams,
)
from jaxrnn.gradient_check import GradientReport, check_gradients
from jaxrnn.networks import (
    Bidirectional,
    Embedding,
    LearnedCarry,
    Linear,
    Network,
    OneHot,
    Residual,
    Reverse,
    Stack,
    add,
    bidirectional,
    concatenate,
    learned_carry,
    residual,
    reverse,
    stack,
    unroll,
)

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Cell",
    "Elman",
    "ElmanCarry",
    "ElmanParams",
    "Embedding",
    "GRUCarry",
    "GRUParams",
    "GradientReport",
    "LSTMCarry",
    "LSTMParams",
    "Layer",
    "LearnedCarry",
    "Linear",
    "ManualCell",
    "Network",
    "OneHot",
    "ResetBeforeGRU",
    "ResetBeforeGRUParams",
    "Residual",
    "Reverse",
    "Stack",
    "add",
    "bidirectional",
    "check_gradients",
    "concatenate",
    "folds",
    "initializers",
    "learned_carry",
    "residual",
    "reverse",
    "stack",
    "unroll",
]
