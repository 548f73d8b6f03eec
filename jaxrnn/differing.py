"""Arrays that differ by device, as `jax.shard_map` keeps account of them."""

import jax
import jax.numpy as jnp


def differing_as(array: jax.Array, other: jax.Array) -> jax.Array:
    """The same array, which under `jax.shard_map` differs by device if `other` does.

    A loop asks that its carry do so from the beginning. Transposed, this is the sum over devices
    that the cotangent of a shared array needs.

    Args:
      array: any.
      other: of any shape; no number of it is looked at.

    Example:
      >>> differing_as(jnp.ones(2), jnp.full(3, jnp.nan)).tolist()
      [1.0, 1.0]
    """
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):  # A random key, of which there is no sum.
        return array
    return array + jnp.zeros_like(other, shape=(), dtype=array.dtype)
