"""The affine map: the one place where a kernel multiplies and a bias is broadcast."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.narrow_product import is_narrow, narrow_product


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x W + b` on the last axis, for any leading axes.

    The product is taken in the dtype of the kernel and has the dtype of x, so that a bfloat16
    kernel may meet a float32 carry: cheap products, exact sums. The transposes are as cheap.

    Args:
      x: `[*any, inputs]`.
      kernel: `[inputs, outputs]`.
      bias: `[outputs]`, or None for a map without one.

    Returns:
      `[*any, outputs]`.

    Example:
      >>> import jax.numpy as jnp
      >>> affine(jnp.ones((5, 2, 3)), jnp.ones((3, 4)), jnp.zeros(4)).shape
      (5, 2, 4)
    """
    if is_narrow(kernel.dtype):
        first, (inputs, outputs) = tuple(range(x.ndim - 1)), (x.ndim, x.ndim + 1)
        axes = (*first, inputs), (inputs, outputs), (*first, outputs)
        y = narrow_product(x, kernel, axes, kernel.dtype).astype(x.dtype)
    else:
        last_with_first = (((x.ndim - 1,), (0,)), ((), ()))
        y = lax.dot_general(
            x.astype(kernel.dtype), kernel, last_with_first, preferred_element_type=x.dtype
        )
    if bias is None:
        return y
    # In float32 at least, so that the cotangent of the bias is summed in it.
    wide = jnp.float32 if is_narrow(y.dtype) else y.dtype
    added = y.astype(wide) + lax.broadcast_in_dim(bias.astype(wide), y.shape, (y.ndim - 1,))
    return added.astype(y.dtype)


def contract(xs: jax.Array, d_ys: jax.Array, kernel: jax.Array) -> jax.Array:
    """`Σ xᵀ d_y` over all leading axes: the cotangent of the kernel of `y = x W`.

    One matrix product over every instant and every row, however many axes they stand on.

    Args:
      xs: `[*any, inputs]`.
      d_ys: `[*any, outputs]`.
      kernel: W; if it is narrow, so is this product.

    Returns:
      `[inputs, outputs]`, in the dtype of the sums.
    """
    if is_narrow(kernel.dtype):
        first, inputs, outputs = tuple(range(xs.ndim - 1)), xs.ndim, xs.ndim + 1
        axes = (*first, inputs), (*first, outputs), (inputs, outputs)
        return narrow_product(xs, d_ys, axes, kernel.dtype)
    # As plain matrices, so that this and its transposes are plain matrix products.
    rows = xs.astype(d_ys.dtype).reshape(-1, xs.shape[-1])
    d_rows = d_ys.reshape(-1, d_ys.shape[-1])
    return lax.dot_general(rows, d_rows, (((0,), (0,)), ((), ())))


def sum_leading(d_ys: jax.Array) -> jax.Array:
    """`Σ d_y` over all leading axes, `[*any, outputs] -> [outputs]`: the cotangent of a bias."""
    return d_ys.sum(axis=tuple(range(d_ys.ndim - 1)))
