"""Sequence to sequence: how layers are joined, and the front door `unroll`."""

from jaxrnn.networks.bidirectional import (
    Bidirectional,
    BidirectionalCarry,
    BidirectionalParams,
    add,
    bidirectional,
    concatenate,
)
from jaxrnn.networks.context import Context
from jaxrnn.networks.dropout import (
    Dropout,
    VariationalDropout,
    WeightDrop,
    drop_recurrent_weights,
)
from jaxrnn.networks.families import elman_network, gru_network, lstm_network
from jaxrnn.networks.learned_carry import LearnedCarry, LearnedCarryParams, learned_carry
from jaxrnn.networks.mixed_precision import MixedPrecision
from jaxrnn.networks.network import Fold, Network, run
from jaxrnn.networks.pointwise import (
    Embedding,
    EmbeddingParams,
    Linear,
    LinearParams,
    OneHot,
    Pointwise,
)
from jaxrnn.networks.residual import Residual, residual
from jaxrnn.networks.reverse import Reverse, reverse
from jaxrnn.networks.split_bias import SplitBias, SplitBiasParams
from jaxrnn.networks.stack import Stack, StackCarry, StackParams, stack
from jaxrnn.networks.unroll import unroll, unroll_history, unroll_last

__all__ = [
    "Bidirectional",
    "BidirectionalCarry",
    "BidirectionalParams",
    "Context",
    "Dropout",
    "Embedding",
    "EmbeddingParams",
    "Fold",
    "LearnedCarry",
    "LearnedCarryParams",
    "Linear",
    "LinearParams",
    "MixedPrecision",
    "Network",
    "OneHot",
    "Pointwise",
    "Residual",
    "Reverse",
    "SplitBias",
    "SplitBiasParams",
    "Stack",
    "StackCarry",
    "StackParams",
    "VariationalDropout",
    "WeightDrop",
    "add",
    "bidirectional",
    "concatenate",
    "drop_recurrent_weights",
    "elman_network",
    "gru_network",
    "learned_carry",
    "lstm_network",
    "residual",
    "reverse",
    "run",
    "stack",
    "unroll",
    "unroll_history",
    "unroll_last",
]
