"""The fold that is taken when none is asked for."""

from typing import Any

import jax

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.bptt import bptt
from jaxrnn.folds.cudnn import cudnn, cudnn_agrees, cudnn_applies
from jaxrnn.folds.hoisted import hoisted
from jaxrnn.folds.scan import scan
from jaxrnn.folds.segments import few_rows


def automatic(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """The fastest exact fold for a cell and its batch.

        cuDNN has it, on one NVIDIA GPU      `cudnn`      once it has been seen to agree
        the cell says its backward step      `bptt`       one product per instant in reverse
        else, with fewer than 8 rows         `hoisted`    likewise, residuals read twice
        else                                 `scan`       two products, and the weights' gradients

    And where a `Stack` begins with `Embedding` or `OneHot` and its sequences hold more tokens than
    the vocabulary, what the lowest recurrent layer makes of a token is looked up, not multiplied:
    see `jaxrnn.wrappers.TokenCell`. Ask for another fold by name, and the vectors are multiplied.

    All have the same values, the same derivatives up to rounding, and all of JAX's transformations.

    Measured on one x86-64 core, float32, forward and backward, widths 64 to 512: `bptt` was never
    behind, up to 2.2 times as fast as `scan` and 2.5 times as fast as `hoisted`. For a minimal
    gated unit, which says no backward step, `hoisted` took 0.50 to 0.71 of the time of `scan` with
    one row, 0.67 with two, 0.74 with four, 0.87 with eight, 1.01 with 16 and 1.09 to 1.15 from 50
    on. On other platforms the choice is made without a measurement, and that of `cudnn` is.

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
    if cudnn_applies(cell, params, carry, xs) and cudnn_agrees():
        return cudnn(cell, params, carry, xs)
    if cell.knows_backward:
        return bptt(cell, params, carry, xs)
    fold = hoisted if few_rows(carry) else scan
    return fold(cell, params, carry, xs)


def innermost(fold: Any) -> Any:
    """The fold that does the work, if one of another kind calls it for segments or for devices.

    Example:
      >>> from jaxrnn.folds import checkpointed
      >>> innermost(checkpointed(20)) is automatic, innermost(bptt) is bptt
      (True, True)
    """
    while hasattr(fold, "fold"):
        fold = fold.fold
    return fold
