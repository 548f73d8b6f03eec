"""What a network is: a layer that takes a whole sequence to a whole sequence."""

import abc
from collections.abc import Callable
from typing import Any

import jax

from jaxrnn.cell import Carry, Cell, Layer, Params
from jaxrnn.networks import border

Fold = Callable[[Cell, Any, Any, Any], tuple[Any, jax.Array]]


class Network(Layer[Params, Carry]):
    """A layer that maps a sequence to a sequence, by folding cells and by joining other layers."""

    @abc.abstractmethod
    def apply(self, params: Params, carry: Carry, xs: jax.Array, fold: Fold) -> tuple[Carry, Any]:
        """`[time, *batch, input_size] -> (carry, [time, *batch, output_size])`.

        This is what `jaxrnn.unroll` calls once it has checked its arguments and made the carry.
        Networks hand sequences to their layers with `run`, never past it.
        """


def run(layer: Layer, params: Any, carry: Any, xs: jax.Array, fold: Fold) -> tuple[Any, jax.Array]:
    """Take a sequence through a layer: a cell is folded, a network applied.

    Args:
      layer: a `Cell` or a `Network`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]` (tokens: `[time, *batch]`).
      fold: one of `jaxrnn.folds`, or a function of that signature.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Raises:
      ValueError, TypeError: if the sequence or the carry does not fit the layer.
    """
    border.check_sequence(layer, params, xs)
    if isinstance(layer, Network):
        return layer.apply(params, carry, xs, fold)
    border.check_step(layer, params, carry, xs)
    return fold(layer, params, carry, xs)
