"""The fold that is taken when none is asked for."""

from typing import Any

import jax

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.bptt import bptt, is_floating
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

    And where a `Stack` begins with `Embedding` or `OneHot` and its sequences hold many more tokens
    than the vocabulary, what the lowest recurrent layer makes of a token is looked up, not
    multiplied: see `jaxrnn.wrappers.TokenCell`. Ask for another fold by name, or have a GPU where
    cuDNN reads vectors, and the vectors are multiplied.

    All have the same values, the same derivatives up to rounding, and all of JAX's transformations.

    Measured on one x86-64 core, float32, forward and backward, widths 64 to 512: `bptt` was never
    behind, up to 2.2 times as fast as `scan` and 3.8 times as fast as `hoisted`. For a minimal
    gated unit of width 64 to 256, which says no backward step, `hoisted` took 0.50 to 0.71 of the
    time of `scan` with one row, 0.81 to 0.89 with four, 0.91 to 1.02 with eight, 0.93 to 1.00 with
    twelve, 1.02 to 1.15 with 16 and 1.12 to 1.33 with 32. On other platforms the choice is made
    without a measurement, and that of `cudnn` is.

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
    if cell.knows_backward and is_floating(carry):
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
