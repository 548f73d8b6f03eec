"""What a network is: a layer that takes a whole sequence to a whole sequence."""

import abc
from typing import Any

import jax

from jaxrnn.cell import Carry, Fold, Layer, Params, output_dtype
from jaxrnn.networks import border
from jaxrnn.networks.context import NO_CONTEXT, Context
from jaxrnn.wrappers import (
    Accompanied,
    Masked,
    Recording,
    Resetting,
    ResettingParams,
    Wrapper,
    token_cell,
)


class Network(Layer[Params, Carry]):
    """A layer that maps a sequence to a sequence, by folding cells and by joining other layers."""

    @abc.abstractmethod
    def apply(
        self, params: Params, carry: Carry, xs: jax.Array, fold: Fold, context: Context
    ) -> tuple[Carry, jax.Array]:
        """`[time, *batch, input_size] -> (carry, [time, *batch, output_size])`.

        This is what `jaxrnn.unroll` calls once it has checked its arguments and made the carry.
        Networks hand sequences, and the context inside them, to their layers with `run`. What they
        read at instants that are not valid is zero; a network of your own must have a finite slope
        there (a norm has none), or gradients of padding are NaN instead of zero.
        """

    def reading_tokens(
        self, params: Params, vectors: jax.Array, tokens: int
    ) -> tuple[Layer, Any] | None:
        """This network and its parameters, for reading tokens instead of their vectors.

        Args:
          params: its parameters.
          vectors: `[tokens, input_size]`, or a row more; see `jaxrnn.wrappers.token_cell`.
          tokens: how many there are.

        Returns:
          A layer with the carry and the outputs of this one; None where there is none, as by
          default.
        """
        del params, vectors, tokens
        return None


def reading_tokens(
    layer: Layer, params: Any, vectors: jax.Array, tokens: int
) -> tuple[Layer, Any] | None:
    """A layer and its parameters, for reading tokens instead of vectors; None where it cannot."""
    if isinstance(layer, Network):
        if not _says_how(type(layer)):
            return None
        return layer.reading_tokens(params, vectors, tokens)
    if isinstance(layer, Wrapper):  # What it draws has the shape of vectors.
        return None
    try:
        return token_cell(layer, params, vectors, tokens)
    except (TypeError, ValueError):
        return None  # What is wrong with a cell, `run` says better.


def _says_how(network_type: type[Network]) -> bool:
    """Whether `reading_tokens` belongs to `apply`: a subclass may have changed the latter alone."""
    ways = ("apply", "reading_tokens")
    own = next(kind for kind in network_type.__mro__ if any(way in vars(kind) for way in ways))
    return "reading_tokens" in vars(own)


def run(
    layer: Layer,
    params: Any,
    carry: Any,
    xs: jax.Array,
    fold: Fold,
    context: Context = NO_CONTEXT,
) -> tuple[Any, jax.Array]:
    """Take a sequence through a layer: a cell is folded, a network applied.

    Args:
      layer: a `Cell` or a `Network`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]` (tokens: `[time, *batch]`).
      fold: one of `jaxrnn.folds`, or a function of that signature.
      context: what accompanies the sequence.

    Returns:
      carry: after the last valid instant (with `context.history` a `Record` of all instants).
      ys: `[time, *batch, output_size]`, in the dtype of `xs`.

    Raises:
      ValueError, TypeError: if the sequence or the carry does not fit the layer.
    """
    border.check_sequence(layer, params, xs)
    if isinstance(layer, Network):
        return layer.apply(params, carry, xs, fold, context)
    border.check_step(layer, params, carry, xs)
    return _fold(layer, params, carry, xs, fold, context)


def _fold(cell, params, carry, xs, fold, context):
    """Fold a cell, wrapped for as much of the context as there is."""
    dtype = output_dtype(cell, params, xs)
    if context.mask is not None or context.cuts is not None:
        border.check_rows(cell, carry, border.batch_shape(cell, xs))
    xs_of_cell = _accompany(cell, xs, carry, context.key)
    if context.history:
        cell = Recording(cell)
    if context.mask is not None:
        cell, xs_of_cell = Masked(cell), Accompanied(xs_of_cell, context.mask)
    if context.cuts is not None:
        cuts = context.cuts[:-1]
        if context.mask is not None:  # What stands still must not begin anew either.
            cuts = cuts & context.mask
        cell, xs_of_cell = Resetting(cell), Accompanied(xs_of_cell, cuts)
        params = ResettingParams(inner=params, start=context.start)
    carry, ys = border.folded(fold, cell, params, carry, xs_of_cell)
    if context.history:
        ys, carry = ys
    return carry, ys.astype(dtype)


def _accompany(cell, xs, carry, key):
    """`xs` with the extras of every wrapper around the cell, each drawn from a key of its own."""
    if not isinstance(cell, Wrapper):
        return xs
    own_key, inner_key = (None, None) if key is None else jax.random.split(key)
    inner = _accompany(cell.cell, xs, carry, inner_key)
    return Accompanied(inner, cell.extras(own_key, xs, carry))
