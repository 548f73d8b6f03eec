"""Cuts: rows that begin anew within a sequence."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.wrappers.masked import select
from jaxrnn.wrappers.wrapper import Accompanied, Wrapper, WrapperResidual


class ResettingParams(NamedTuple):
    """Parameters of the cell inside, and the carry `[*batch, …]` that a cut row begins with.

    The start stands with the parameters because it may be learned: every fold then finds its
    derivative as it finds theirs.
    """

    inner: Any
    start: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Resetting(Wrapper):
    """A cell whose rows begin anew at instants that are flagged.

    carry = reset ? start : carry,    then one instant of the cell
    """

    cell: Cell

    def extras(self, key, like, carry):
        """Nothing of its own making: the flags come with the sequence."""
        del key, like, carry
        return None

    def project(self, params, xs):
        """The projection of the cell inside."""
        return Accompanied(self.cell.project(params.inner, xs.x), xs.extra)

    def step(self, params, carry, drive):
        """One instant from the start where a row is cut, else from the carry."""
        return self.cell.step(params.inner, select(drive.extra, params.start, carry), drive.x)

    def inspect(self, params, carry, drive):
        """What the cell inside shows."""
        return self.cell.inspect(params.inner, select(drive.extra, params.start, carry), drive.x)

    def forward(self, params, carry, drive):
        """`step`, keeping what the cell inside keeps, and the flags."""
        given = select(drive.extra, params.start, carry)
        new, y, inner = self.cell.forward(params.inner, given, drive.x)
        return new, y, WrapperResidual(inner, drive.extra)

    def backward(self, params, residual, d_carry, d_y):
        """The cotangent of what the cell was given goes to the start where a row was cut."""
        d_given, d_drive = self.cell.backward(params.inner, residual.inner, d_carry, d_y)
        nothing = jax.tree.map(jnp.zeros_like, d_given)
        d_start = select(residual.extra, d_given, nothing)
        return select(residual.extra, nothing, d_given), Accompanied(d_drive, d_start)

    def gradients(self, params, xs, residuals, d_drives):
        """Those of the cell inside; and that of the start, the sum over all cuts."""
        d_inner, d_xs = self.cell.gradients(params.inner, xs.x, residuals.inner, d_drives.x)
        d_start = jax.tree.map(lambda d: d.sum(axis=0), d_drives.extra)
        return ResettingParams(d_inner, d_start), Accompanied(d_xs, None)
