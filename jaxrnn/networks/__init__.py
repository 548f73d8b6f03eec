"""Sequence to sequence: how layers are joined, and the front door `unroll`."""

from jaxrnn.networks.bidirectional import (
    Bidirectional,
    BidirectionalCarry,
    BidirectionalParams,
    add,
    bidirectional,
    concatenate,
)
from jaxrnn.networks.learned_carry import LearnedCarry, LearnedCarryParams, learned_carry
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
from jaxrnn.networks.stack import Stack, StackCarry, StackParams, stack
from jaxrnn.networks.unroll import unroll

__all__ = [
    "Bidirectional",
    "BidirectionalCarry",
    "BidirectionalParams",
    "Embedding",
    "EmbeddingParams",
    "Fold",
    "LearnedCarry",
    "LearnedCarryParams",
    "Linear",
    "LinearParams",
    "Network",
    "OneHot",
    "Pointwise",
    "Residual",
    "Reverse",
    "Stack",
    "StackCarry",
    "StackParams",
    "add",
    "bidirectional",
    "concatenate",
    "learned_carry",
    "residual",
    "reverse",
    "run",
    "stack",
    "unroll",
]
