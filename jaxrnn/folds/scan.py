"""The reference fold."""

from typing import Any

import jax
from jax import lax

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.segments import rows_of
from jaxrnn.folds.wide_sums import wide_sums

# From so many on, a product of all instants at once saves less than it costs to write and read what
# it makes of a whole sequence, and its gradient.
MANY_ROWS = 32


def scan(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """Fold a cell over a sequence with `jax.lax.scan`; JAX derives backpropagation through time.

        carry_t, y_t = step(params, carry_{t−1}, project(params, x_t))

    With fewer than 32 rows `project` is taken of all instants at once, before the loop. Every other
    fold must agree with this one. All of JAX's transformations work through it, forward
    mode and second derivatives included.

    Args:
      cell: any `Cell`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.Elman(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = scan(cell, params, cell.initial_carry(), jnp.ones((7, 3)))
      >>> bool((carry.h == ys[-1]).all())
      True
    """
    wide, narrow = wide_sums(params)
    rows = rows_of(carry)
    if rows is None or rows < MANY_ROWS:

        def step(carry, drive):
            return cell.step(narrow(wide), carry, drive)

        return lax.scan(step, carry, cell.project(params, xs))

    def project_and_step(carry, x):
        params = narrow(wide)
        return cell.step(params, carry, cell.project(params, x))

    return lax.scan(project_and_step, carry, xs)
