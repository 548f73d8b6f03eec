"""Layers on top of each other."""

import dataclasses
from typing import Any, NamedTuple

import jax

from jaxrnn.cell import Layer, parameter_dtype
from jaxrnn.folds.automatic import automatic, innermost
from jaxrnn.folds.cudnn import cudnn_agrees
from jaxrnn.networks.border import check_layer
from jaxrnn.networks.dropout import Dropping
from jaxrnn.networks.network import Network, reading_tokens, run
from jaxrnn.networks.pointwise import OneHot, TokenLayer, Tokens


class StackParams(NamedTuple):
    """Parameters of a `Stack`, from the lowest layer up."""

    layers: tuple[Any, ...]


class StackCarry(NamedTuple):
    """Carries of a `Stack`, from the lowest layer up."""

    layers: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Stack(Network[StackParams, StackCarry]):
    """Layers on top of each other, each reading what the one below wrote; made by `stack`."""

    layers: tuple[Layer, ...]

    def __post_init__(self):
        if not self.layers:
            raise ValueError("stack: got no layers; give at least one, as in stack(LSTM(3, 4)).")
        for layer in self.layers:
            check_layer(layer)
        for number, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"stack: layer {number}, {below!r}, writes width {below.output_size}, but "
                    f"layer {number + 1}, {above!r}, reads input_size={above.input_size}; "
                    "make the two equal."
                )

    @property
    def input_size(self) -> int:
        """Width that the lowest layer reads."""
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        """Width that the uppermost layer writes."""
        return self.layers[-1].output_size

    @property
    def takes_tokens(self) -> bool:
        """Whether the lowest layer reads token ids."""
        return self.layers[0].takes_tokens

    def init(self, key: jax.Array) -> StackParams:
        """Draw the parameters of every layer, each from a key of its own."""
        keys = jax.random.split(key, len(self.layers))
        pairs = zip(self.layers, keys, strict=True)
        return StackParams(layers=tuple(layer.init(layer_key) for layer, layer_key in pairs))

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> StackCarry:
        """The initial carry of every layer."""
        return StackCarry(layers=tuple(layer.initial_carry(batch_shape) for layer in self.layers))

    def start(self, params: StackParams, batch_shape: tuple[int, ...] = ()) -> StackCarry:
        """The start of every layer."""
        pairs = zip(self.layers, params.layers, strict=True)
        return StackCarry(layers=tuple(layer.start(own, batch_shape) for layer, own in pairs))

    def __call__(self, params, carry, x):
        """One instant, through all layers."""
        carries = []
        layers = zip(self.layers, params.layers, carry.layers, strict=True)
        for number, (layer, own, received) in enumerate(layers):
            handed_on, x = layer(own, received, x)
            x = self._in_dtype_of_params(number, params, x)
            carries.append(handed_on)
        return StackCarry(layers=tuple(carries)), x

    def apply(self, params, carry, xs, fold, context):
        """The whole sequence through the lowest layer, then through the next.

        The default fold looks up what the lowest recurrent layer makes of a token, where that is
        worth its time (`worth_looking_up`): see `jaxrnn.wrappers.TokenCell`.
        """
        reader = self
        by_default = innermost(fold) is automatic and not cudnn_agrees()  # which reads vectors
        if by_default and self.takes_tokens and worth_looking_up(self.layers[0], xs):
            reader, params = self.looking_up(params, noise=context.key is not None)
        carries = []
        layers = zip(reader.layers, params.layers, carry.layers, strict=True)
        for number, (layer, own, received) in enumerate(layers):
            inside = context.inside("layers", number)
            handed_on, xs = run(layer, own, received, xs, fold, inside)
            xs = reader._in_dtype_of_params(number, params, xs)
            carries.append(handed_on)
        return StackCarry(layers=tuple(carries)), xs

    def looking_up(self, params: StackParams, noise: bool = False) -> tuple[Layer, StackParams]:
        """This stack and its parameters, with what is made of every token taken beforehand.

            y = layer(E[token])  becomes  y = layer′(token),    layer′ as of `reading_tokens`

        The carry and the outputs stay those of this stack.

        Args:
          params: its parameters.
          noise: whether layers that drop something do so; without noise they are passed over.

        Returns:
          A stack and its parameters; the two as they are where vectors do not go straight into a
          recurrent layer.
        """
        lowest = self.layers[0]
        if not isinstance(lowest, TokenLayer) or isinstance(lowest, Tokens):
            return self, params
        if type(lowest).apply is not TokenLayer.apply:  # It does more than to map.
            return self, params
        reader = 1  # The first layer above that is more than a dropout without noise.
        while not noise and reader < len(self.layers) and _only_drops(self.layers[reader]):
            reader += 1
        if reader == len(self.layers):
            return self, params
        vectors = self._in_dtype_of_params(0, params, lowest.vectors(params.layers[0]))
        read = reading_tokens(self.layers[reader], params.layers[reader], vectors, self.input_size)
        if read is None:
            return self, params
        layer, own = read
        below = (Tokens(self.input_size),) * reader
        layers = (*below, layer, *self.layers[reader + 1 :])
        nothing = ((),) * reader
        return Stack(layers), StackParams((*nothing, own, *params.layers[reader + 1 :]))

    def _in_dtype_of_params(self, number, params, ys):
        """Unit vectors have no parameters to take a dtype from, and are exact in any."""
        layer, above = self.layers[number], params.layers[number + 1 :]
        if isinstance(layer, OneHot) and layer.dtype is None and jax.tree.leaves(above):
            return ys.astype(parameter_dtype(above))
        return ys


def worth_looking_up(lowest: Layer, xs: jax.Array) -> bool:
    """Whether a table of all tokens is worth its time, for sequences of tokens.

    It has to be made, which costs a product for each of the vocabulary, and its gradient is added
    up once for every 512 tokens that are read; so there must be twice as many of these as there
    are in the vocabulary, and that may have no more than 32 tokens for each number of a vector.

    Measured on one x86-64 core, float32, forward and backward, LSTM of width 128 (256), 4,096
    tokens read: 0.55 (0.59) of the time with a vocabulary of 65, 0.66 (0.69) with 1,024, 0.80
    (0.80) with 2,048, 1.33 (1.03) with 4,000.
    """
    if not all(isinstance(size, int) for size in xs.shape):  # Exported for any batch.
        return False
    return 2 * lowest.input_size <= xs.size and lowest.input_size <= 32 * lowest.output_size


def _only_drops(layer):
    return isinstance(layer, Dropping) and type(layer).apply is Dropping.apply


def stack(*layers: Layer) -> Stack:
    """Put layers on top of each other: any cells and networks, of any widths that meet.

    Args:
      *layers: from the lowest up; each reads vectors of the width that the one below writes.

    Returns:
      A network whose parameters are `StackParams(layers=(…))` and whose carry is
      `StackCarry(layers=(…))`.

    Raises:
      ValueError: if two neighbours' widths differ, or there is no layer.
      TypeError: if something is not a layer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> model = jaxrnn.stack(
      ...     jaxrnn.Embedding(65, 16),
      ...     jaxrnn.LSTM(16, 32),
      ...     jaxrnn.GRU(32, 24),
      ...     jaxrnn.Linear(24, 65),
      ... )
      >>> carry, logits = jaxrnn.unroll(
      ...     model, model.init(jax.random.key(0)), jnp.zeros((10, 2), int)
      ... )
      >>> logits.shape, carry.layers[1].h.shape
      ((10, 2, 65), (2, 32))
    """
    return Stack(layers=tuple(layers))
