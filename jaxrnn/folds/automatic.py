"""The fold that is taken when none is asked for."""

from typing import Any

import jax

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.bptt import bptt
from jaxrnn.folds.scan import scan


def automatic(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """`bptt` for a cell that says its own backward step, `scan` for any other.

    Both have the same values, the same derivatives up to rounding, and all of JAX's
    transformations. By hand the backward loop has one matrix product per instant; JAX's has three
    and carries the gradients of the weights along.

    Args:
      cell: any `Cell`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.GRU(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = automatic(cell, params, cell.initial_carry(), jnp.ones((7, 3)))
      >>> ys.shape
      (7, 4)
    """
    fold = bptt if cell.knows_backward else scan
    return fold(cell, params, carry, xs)
