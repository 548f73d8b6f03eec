"""Sums over time in float32, where parameters are narrower."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.narrow_product import is_narrow


def wide_sums(params: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Parameters in float32 at least, and the function that makes them as narrow as they were.

    Used within a loop, `narrow(wide)` is what was given, but its cotangents are added up in the
    dtype of `wide`. In bfloat16, which has 8 bits, a sum over many instants soon stops growing.

    Args:
      params: a tree of arrays; those of float32, float64 and integers stay as they are.

    Returns:
      wide: the parameters.  narrow: `wide -> params`.

    Example:
      >>> params = jnp.ones(3, jnp.bfloat16)
      >>> wide, narrow = wide_sums(params)
      >>> wide.dtype.name, narrow(wide).dtype.name
      ('float32', 'bfloat16')
    """

    def widen(leaf):
        return leaf.astype(jnp.float32) if is_narrow_float(leaf) else leaf

    def narrow(wide):
        return jax.tree.map(lambda leaf, given: leaf.astype(given.dtype), wide, params)

    return jax.tree.map(widen, params), narrow


def is_narrow_float(leaf: Any) -> bool:
    """Whether an array is of a floating-point dtype below float32."""
    return jnp.issubdtype(leaf.dtype, jnp.floating) and is_narrow(leaf.dtype)
