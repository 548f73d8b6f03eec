"""Cell to cell: what touches only that which crosses a cell's border."""

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import ManualCell, derivative_is_its_own
from jaxrnn.wrappers.around import Around


class Accompanied(NamedTuple):
    """An input (or a drive) of the cell inside, with what the wrapper needs at that instant.

    Attributes:
      x: what the cell inside reads.
      extra: masks, flags or noise; None for none.
    """

    x: Any
    extra: Any


class WrapperResidual(NamedTuple):
    """What the backward pass of a wrapper needs: that of the cell inside, and its own extra."""

    inner: Any
    extra: Any


class Wrapper(Around, ManualCell):
    """A cell around a cell.

    A wrapper changes the carry on its way in (`before`), the carry on its way out (`after`) and the
    output (`output`). All three are LINEAR in carries and outputs, whatever they do with `extra`;
    so their derivatives are their transposes, and a wrapper knows its backward step as soon as the
    cell inside does.

    Attributes:
      cell: the cell inside.
    """

    def before(self, carry: Any, extra: Any) -> Any:
        """The carry that the cell inside receives. Linear in `carry`."""
        del extra
        return carry

    def after(self, carry: Any, new: Any, extra: Any) -> Any:
        """The carry handed on, from the one received and the cell's new one. Linear in both."""
        del carry, extra
        return new

    def output(self, y: Any, carry: Any, extra: Any) -> Any:
        """What is written, from the cell's output and the carry handed on. Linear in both."""
        del carry, extra
        return y

    @abc.abstractmethod
    def extras(self, key: jax.Array | None, like: jax.Array, carry: Any) -> Any:
        """What `before`, `after` and `output` will need, with a leading axis of time.

        Args:
          key: for noise; None for none.
          like: an array `[time, *batch, …]`, for its shape and dtype.
          carry: a carry of this cell, for its shape and dtype.
        """

    @property
    def knows_backward(self) -> bool:
        """Whether the cell inside does (and no subclass changed what this wrapper does)."""
        return self.cell.knows_backward and derivative_is_its_own(type(self))

    def project(self, params: Any, xs: Any) -> Accompanied:
        """The projection of the cell inside, accompanied as before."""
        xs = xs if isinstance(xs, Accompanied) else Accompanied(xs, None)
        return Accompanied(self.cell.project(params, xs.x), xs.extra)

    def step(self, params, carry, drive):
        """One instant: before, the cell inside, after."""
        given = self.before(carry, drive.extra)
        new, y = self.cell.step(params, given, drive.x)
        handed_on = self.after(carry, new, drive.extra)
        return handed_on, self.output(y, handed_on, drive.extra)

    def inspect(self, params, carry, drive):
        """What the cell inside shows."""
        return self.cell.inspect(params, self.before(carry, drive.extra), drive.x)

    def forward(self, params, carry, drive):
        """`step`, keeping what the cell inside keeps, and the extra."""
        given = self.before(carry, drive.extra)
        new, y, inner = self.cell.forward(params, given, drive.x)
        handed_on = self.after(carry, new, drive.extra)
        y = self.output(y, handed_on, drive.extra)
        return handed_on, y, WrapperResidual(inner, drive.extra)

    def backward(self, params, residual, d_carry, d_y):
        """The transposes of `after` and `output`, the cell's backward step, that of `before`."""
        extra = residual.extra
        given = jax.eval_shape(lambda carry: self.before(carry, extra), d_carry)
        d_y, d_read = _transpose(lambda y, carry: self.output(y, carry, extra), d_y, d_carry)(d_y)
        d_carry = jax.tree.map(jnp.add, d_carry, d_read)
        d_received, d_new = _transpose(
            lambda carry, new: self.after(carry, new, extra), d_carry, given
        )(d_carry)
        d_given, d_drive = self.cell.backward(params, residual.inner, d_new, d_y)
        (d_before,) = _transpose(lambda carry: self.before(carry, extra), d_carry)(d_given)
        return jax.tree.map(jnp.add, d_received, d_before), Accompanied(d_drive, None)

    def gradients(self, params, xs, residuals, d_drives):
        """Those of the cell inside; masks, flags and noise have none."""
        d_params, d_xs = self.cell.gradients(params, xs.x, residuals.inner, d_drives.x)
        return d_params, Accompanied(d_xs, None)


def _transpose(linear: Any, *like: Any) -> Any:
    # Examples rather than shapes: under `shard_map` they also say by which devices they differ.
    return jax.linear_transpose(linear, *like)
