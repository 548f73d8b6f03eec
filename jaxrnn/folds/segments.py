"""Sequences in segments, one after the other."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def scan_segments(
    body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, every: int
) -> tuple[Any, Any]:
    """`lax.scan` over segments of `every` instants; the last may be shorter.

    Args:
      body: `(carry, xs of a segment) -> (carry, ys of a segment)`, for segments of any length.
      carry: before the first instant.
      xs: a tree of arrays with a leading axis of time.
      every: how many instants a segment has.

    Returns:
      carry: after the last instant.  ys: joined again, with a leading axis of time.

    Example:
      >>> def body(total, xs):
      ...     sums = total + jnp.cumsum(xs)
      ...     return sums[-1], sums
      >>> total, sums = scan_segments(body, 0, jnp.arange(5), every=2)
      >>> sums.tolist()
      [0, 1, 3, 6, 10]
    """
    length = time_of(xs)
    whole = length // every
    if not whole:
        return body(carry, xs)
    cut = whole * every

    def split(x):
        return x[:cut].reshape(whole, every, *x.shape[1:])

    def join(y):
        return y.reshape(cut, *y.shape[2:])

    carry, ys = lax.scan(body, carry, jax.tree.map(split, xs))
    ys = jax.tree.map(join, ys)
    if cut < length:
        carry, rest = body(carry, jax.tree.map(lambda x: x[cut:], xs))
        ys = jax.tree.map(lambda y, r: jnp.concatenate([y, r]), ys, rest)
    return carry, ys


def time_of(xs: Any) -> int:
    """How many instants a sequence has."""
    return jax.tree.leaves(xs)[0].shape[0]


def root(length: int) -> int:
    """⌈√length⌉, at least 1.

    Example:
      >>> root(100), root(101), root(0)
      (10, 11, 1)
    """
    return math.isqrt(max(length - 1, 0)) + 1
