"""What differs between linen and nnx, as a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxrnn.cell import Layer
from jaxrnn.cells import GRU, LSTM, Elman
from jaxrnn.interop.flax.layout import Layout, Path
from jaxrnn.interop.flax.options import canonical
from jaxrnn.networks import Embedding, Linear


class Kind(NamedTuple):
    """A class of Flax without layers inside.

    Attributes:
      layer: our class.
      make: our layer, from the module and the width of its input.
      layout: where its parameters lie.
    """

    layer: type[Layer]
    make: Callable[[Any, int], Layer]
    layout: Layout


class Dialect(NamedTuple):
    """What differs between linen and nnx.

    Attributes:
      kinds: classes without layers inside.
      rnn: the class that runs a cell over time.
      bidirectional: the class that does so both ways.
      sequential: the class of chains.
      chain: a chain of modules.
      dropout: the class of noise.
      inside: modules that a class of `kinds` computes with.
      place: where the layers of a chain keep their parameters, by number.
      state_axes: what `rnn` makes of `state_axes=None`.
      build: a module for a cell, a `Linear` or an `Embedding`, from it, the layout's nested
        parameters, and their dtype.
      layouts: which layout `build` fills, by our class.
    """

    kinds: Mapping[type, Kind]
    rnn: type
    bidirectional: type
    sequential: type
    chain: Callable[[list[Any]], Any]
    dropout: type
    inside: Callable[[Any], Sequence[Any]]
    place: Callable[[int], Path]
    state_axes: Any
    build: Callable[[Layer, dict[str, Any], Any], Any]
    layouts: Mapping[type[Layer], Layout]


def lstm(features: str) -> Callable[[Any, int], Layer]:
    """How an `LSTM` is made of a module whose attribute `features` is the hidden size."""
    return lambda module, width: LSTM(width, getattr(module, features))


def gru(features: str) -> Callable[[Any, int], Layer]:
    """The same for a `GRU`."""
    return lambda module, width: GRU(width, getattr(module, features))


def elman(features: str) -> Callable[[Any, int], Layer]:
    """The same for an `Elman`."""

    def make(module, width):
        return Elman(width, getattr(module, features), activation=canonical(module.activation_fn))

    return make


def linear(features: str) -> Callable[[Any, int], Layer]:
    """The same for a `Linear`."""
    return lambda module, width: Linear(width, getattr(module, features), use_bias=module.use_bias)


def embedding(module: Any, width: int) -> Layer:
    """The same for an `Embedding`."""
    del width  # That of a token, which has none.
    return Embedding(module.num_embeddings, module.features)
