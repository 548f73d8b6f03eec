"""Truncated backpropagation through time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn import checks
from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.scan import scan
from jaxrnn.folds.segments import time_of
from jaxrnn.folds.wide_sums import wide_sums
from jaxrnn.wrappers.masked import select


@dataclasses.dataclass(frozen=True, repr=False)
class Truncated:
    """The fold that `truncated` makes: `scan` whose gradient reaches back `steps` instants."""

    steps: int
    every: int = 1

    def __post_init__(self):
        checks.check_sizes("truncated", steps=self.steps, every=self.every)
        if self.every > self.steps:
            raise ValueError(
                f"truncated: every must be at most steps, got every={self.every} and "
                f"steps={self.steps}; else some losses would reach no instant at all."
            )

    def __call__(
        self, cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
    ) -> tuple[Carry, jax.Array]:
        """Fold `cell` over `xs`; see `truncated`."""
        length = time_of(xs)
        if self.steps >= length:  # One window holds the whole sequence.
            return scan(cell, params, carry, xs)
        begins = jnp.arange(0, length, self.every) + self.every - self.steps
        drives = cell.project(params, xs)
        fixed = jax.tree.map(lax.stop_gradient, (params, drives))
        carries = _carries_before(cell, fixed[0], lax.stop_gradient(carry), fixed[1])
        wide, narrow = wide_sums(params)

        def step(carry: Carry, drive: Any) -> tuple[Carry, jax.Array]:
            return cell.step(narrow(wide), carry, drive)

        def window(begin: jax.Array) -> tuple[Carry, jax.Array]:
            return _window(step, carry, carries, drives, begin, self.steps, length)

        last_carries, ys = jax.vmap(window)(begins)
        # The losses of a window stand on its last `every` instants; the others are warm-up.
        warm_up = self.steps - self.every
        ys = jax.tree.map(lambda y: _joined(y[:, warm_up:])[:length], ys)
        return jax.tree.map(lambda c: c[-1], last_carries), ys

    def __repr__(self) -> str:
        return f"truncated(steps={self.steps}, every={self.every})"


def truncated(steps: int, every: int = 1) -> Truncated:
    """A fold with the values of `scan`, whose gradient reaches back `steps` instants.

        ∂L_t/∂θ ≈ Σ_{t−steps < s ≤ t}  ∂L_t/∂carry_s · ∂carry_s/∂θ        carry_{t−steps} a constant

    `truncated(1)` is the gradient sometimes called "naive": every loss sees only its own instant.
    `truncated(k)` with k at least the length of the sequence is `scan`, initial carry included.

    With `every=n`, n losses share one window of `steps` instants, the last of them reaching back
    `steps` and the first `steps − n + 1`: BPTT(n; steps) of Williams & Peng. `every=steps` cuts the
    sequence into chunks, the cheapest choice.

    Instants are counted as they stand in the array: of a padded row, padding counts too, so the
    windows of a row that is padded can lie otherwise than those of the row alone.

    The cost over `scan` is one more forward pass without derivative, and each instant taken anew in
    `steps / every` windows; the windows run side by side, as one batch. Forward mode and second
    derivatives work, and truncate likewise.

    Source: Williams & Peng (1990), "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", doi:10.1162/neco.1990.2.4.490.

    Args:
      steps: how many instants a loss reaches back, its own included; at least 1.
      every: how many losses share a window; at least 1, at most `steps`.

    Returns:
      A fold, `(cell, params, carry, xs) -> (carry, ys)`, for any cell.

    Raises:
      TypeError: if a number is not an integer.
      ValueError: if a number is not positive, or `every` exceeds `steps`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.Elman(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((9, 3)), fold=jaxrnn.folds.truncated(1))
      >>> ys.shape
      (9, 4)
    """
    return Truncated(steps, every)


def _carries_before(cell, params, carry, drives):
    """The carry that each instant receives, all of them constants."""

    def body(carry, drive):
        return cell.step(params, carry, drive)[0], carry

    return lax.scan(body, carry, drives)[1]


def _window(step, carry, carries, drives, begin, steps, length):
    """`steps` instants from `begin`, which may lie before the sequence, or the end beyond it."""
    instants = begin + jnp.arange(steps)
    inside = (instants >= 0) & (instants < length)
    # A window that touches time 0 starts from the initial carry itself, so its gradient arrives
    # there.
    started = select(begin <= 0, carry, jax.tree.map(lambda c: c[jnp.maximum(begin, 0)], carries))

    def body(carry, instant):
        drive, inside = instant
        new_carry, y = step(carry, drive)
        return select(inside, new_carry, carry), y

    nearest = jnp.clip(instants, 0, length - 1)
    return lax.scan(body, started, (jax.tree.map(lambda d: d[nearest], drives), inside))


def _joined(ys):
    """Windows one after the other."""
    windows, instants, *rest = ys.shape
    return ys.reshape(windows * instants, *rest)
