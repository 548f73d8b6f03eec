"""The reference fold."""

from typing import Any

import jax
from jax import lax

from jaxrnn.cell import Carry, Cell, Params


def scan(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """Fold a cell over a sequence with `jax.lax.scan`; JAX derives backpropagation through time.

        carry_t, y_t = step(params, carry_{t−1}, project(params, x_t))

    Every other fold must agree with this one. All of JAX's transformations work through it, forward
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
    drives = cell.project(params, xs)

    def body(carry: Carry, drive: Any) -> tuple[Carry, jax.Array]:
        return cell.step(params, carry, drive)

    return lax.scan(body, carry, drives)
