"""Padding: instants that are not there."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.wrappers.wrapper import Wrapper


@dataclasses.dataclass(frozen=True, repr=False)
class Masked(Wrapper):
    """A cell that stands still at instants that are not valid.

        carry' = mask ? cell's : carry,    y' = mask ? y : 0

    The carry after the last instant is thus the one after the last valid instant, for each row and
    wherever the holes are, and no history of carries is kept for it.
    """

    cell: Cell

    def extras(self, key, like, carry):
        """Nothing of its own making: the mask comes with the sequence."""
        del key, like, carry
        return None

    def after(self, carry, new, extra):
        """The cell's carry at valid instants, the old one at others."""
        return new if extra is None else select(extra, new, carry)

    def output(self, y, carry, extra):
        """The cell's output at valid instants, zero at others."""
        del carry
        return y if extra is None else select(extra, y, jax.tree.map(jnp.zeros_like, y))


def select(flags: jax.Array, chosen: object, other: object) -> object:
    """Leaf by leaf and row by row: `chosen` where flags `[*batch]` are True, else `other`."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(flags.reshape(flags.shape + (1,) * (a.ndim - flags.ndim)), a, b)

    return jax.tree.map(leaf, chosen, other)
