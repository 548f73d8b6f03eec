"""Backpropagation through time by hand."""

import functools
from typing import Any

import jax
from jax import lax

from jaxrnn.cell import Carry, ManualCell, Params
from jaxrnn.folds.scan import scan


def bptt(
    cell: ManualCell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """`scan`, with backpropagation through time spelled out: no derivative here is JAX's.

        forward   carry_t, y_t, residual_t = cell.forward(params, carry_{t−1}, drive_t)
        backward  d_carry_{t−1}, d_drive_t = cell.backward(params, residual_t, d_carry_t, d_y_t)
        after     d_params, d_xs           = cell.gradients(params, xs, residuals, d_drives)

    A loss at instant t reaches every instant before it, because d_carry, the notebook's `dhnext`,
    is handed from instant to instant. The loop carries nothing else: the weights wait until it is
    over, one contraction each instead of one per instant.

    Source: Werbos (1990), "Backpropagation through time: what it does and how to do it",
    doi:10.1109/5.58337.

    Args:
      cell: a `ManualCell`, one that says its own backward step.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Raises:
      TypeError: if the cell does not say its backward step; and, from JAX, under `jax.jvp`: a
        derivative by hand is a reverse-mode rule. Use `scan` for forward mode.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.LSTM(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> def loss(params, fold):
      ...     return jnp.sum(jaxrnn.unroll(cell, params, jnp.ones((7, 3)), fold=fold)[1] ** 2)
      >>> by_jax = jax.grad(loss)(params, jaxrnn.folds.scan)
      >>> by_hand = jax.grad(loss)(params, jaxrnn.folds.bptt)
      >>> bool(jnp.allclose(by_jax.recurrent_kernel, by_hand.recurrent_kernel, atol=1e-5))
      True
    """
    if not cell.knows_backward:
        raise TypeError(
            f"`bptt` needs a ManualCell, one with `forward`, `backward` and `gradients`; {cell!r} "
            "does not say its backward step. Use the fold `scan`, where JAX finds the derivative."
        )
    return _bptt(cell, params, carry, xs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _bptt(cell, params, carry, xs):
    return scan(cell, params, carry, xs)


def _forward(cell, params, carry, xs):
    def body(carry, drive):
        carry, y, residual = cell.forward(params, carry, drive)
        return carry, (y, residual)

    carry, (ys, residuals) = lax.scan(body, carry, cell.project(params, xs))
    return (carry, ys), (params, xs, residuals)


def _backward(cell, saved, cotangents):
    params, xs, residuals = saved
    d_last, d_ys = cotangents

    def body(d_carry, instant):
        residual, d_y = instant
        return cell.backward(params, residual, d_carry, d_y)

    d_first, d_drives = lax.scan(body, d_last, (residuals, d_ys), reverse=True)
    # The weights wait until the loop is over: one contraction over all instants instead of T.
    d_params, d_xs = cell.gradients(params, xs, residuals, d_drives)
    return _as_dtype_of(d_params, params), d_first, _as_dtype_of(d_xs, xs)


def _as_dtype_of(cotangents, primals):
    """Under mixed precision sums are taken in a wider dtype than what they are cotangents of."""

    def leaf(d, primal):
        return None if d is None else d.astype(primal.dtype)  # None: flags and noise have none.

    return jax.tree.map(leaf, cotangents, primals, is_leaf=lambda d: d is None)


_bptt.defvjp(_forward, _backward)
