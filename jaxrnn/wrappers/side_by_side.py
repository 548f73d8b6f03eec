"""Equal cells side by side: several sequences in one loop."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cell import Cell, ManualCell, derivative_is_its_own
from jaxrnn.wrappers.around import Around


@dataclasses.dataclass(frozen=True, repr=False)
class SideBySide(Around, ManualCell):
    """Copies of a cell in one instant, each with parameters, a carry and an input of its own.

        carry'[n], y[n] = cell(params[n], carry[n], x[n])        n = 1 … copies

    Carries, inputs and outputs have an axis of copies in front of the batch axes,
    `[time, copies, *batch, features]`; parameters are a tuple, one element for each copy. What
    stands in the loop is `jax.vmap` of the cell, so that all copies together take no more
    operations than one; with arrays as small as those of a single row, operations are what costs.

    Attributes:
      cell: the cell inside.
      copies: how many there are.
      batch_axes: how many batch axes each has, which tells where in an input the copies stand.
    """

    cell: Cell
    copies: int
    batch_axes: int

    @property
    def knows_backward(self) -> bool:
        """Whether the cell inside does (and no subclass changed what this one does)."""
        return self.cell.knows_backward and derivative_is_its_own(type(self))

    def init(self, key):
        """Parameters of every copy, each drawn from a key of its own."""
        return tuple(self.cell.init(own) for own in jax.random.split(key, self.copies))

    def initial_carry(self, batch_shape=()):
        """The initial carries of all copies, whose number is the first of `batch_shape`."""
        copies, *batch = batch_shape
        one = self.cell.initial_carry(tuple(batch))
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * copies), one)

    def start(self, params, batch_shape=()):
        """The starts of all copies."""
        return _stack([self.cell.start(own, tuple(batch_shape[1:])) for own in params])

    def project(self, params, xs):
        """The projections of every copy, of an instant or of whole sequences."""
        features = 0 if self.takes_tokens else 1
        axis = xs.ndim - features - 1 - self.batch_axes
        drives = [
            self.cell.project(own, x) for own, x in zip(params, self._each(xs, axis), strict=True)
        ]
        return _stack(drives, axis)

    def step(self, params, carry, drive):
        """One instant of every copy."""
        return jax.vmap(self.cell.step)(_stack(params), carry, drive)

    def forward(self, params, carry, drive):
        """`step`, keeping what every copy keeps."""
        return jax.vmap(self.cell.forward)(_stack(params), carry, drive)

    def backward(self, params, residual, d_carry, d_y):
        """The backward step of every copy."""
        return jax.vmap(self.cell.backward)(_stack(params), residual, d_carry, d_y)

    def gradients(self, params, xs, residuals, d_drives):
        """Those of every copy, one after the other: outside the loop nothing is small."""
        sequences = zip(
            params, *(self._each(tree, 1) for tree in (xs, residuals, d_drives)), strict=True
        )
        d_params, d_xs = zip(*(self.cell.gradients(*own) for own in sequences), strict=True)
        return d_params, _stack(d_xs, 1)

    def _each(self, tree, axis):
        return [
            jax.tree.map(lambda leaf, n=n: lax.index_in_dim(leaf, n, axis, keepdims=False), tree)
            for n in range(self.copies)
        ]


def _stack(trees, axis=0):
    """One tree, from one for each copy; of parameters in a loop, XLA does so before the loop."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis), *trees)
