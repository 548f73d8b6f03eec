"""Sequences in segments, one after the other."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

ENOUGH_ROWS = 8  # from so many on, a product of one instant is as efficient as that of many


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
    if is_one_segment(length, every):
        return body(carry, xs)
    whole = length // every
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


def pieces(length: int, every: int) -> Iterator[slice]:
    """Where a sequence is cut so that its first piece is whole segments: in one or two pieces.

    Example:
      >>> list(pieces(11, 4)), list(pieces(8, 4)), list(pieces(3, 4))
      ([slice(0, 8, None), slice(8, 11, None)], [slice(0, 8, None)], [slice(None, None, None)])
    """
    if is_one_segment(length, every):
        yield slice(None)
        return
    cut = length - length % every
    yield slice(0, cut)
    if cut < length:
        yield slice(cut, length)


def is_one_segment(length: int, every: int) -> bool:
    """Whether a sequence is not worth cutting: no longer than a segment, or a symbol."""
    return not isinstance(length, int) or length <= every


def even_segments(length: int, rows: int | None, rows_at_once: int) -> int:
    """Instants of a segment of about `rows_at_once`, if possible so that all segments are alike.

    Example:
      >>> even_segments(1000, 8, 512), even_segments(101, 50, 512), even_segments(70, 1, 512)
      (50, 10, 70)
    """
    if rows is None or not isinstance(length, int):  # Symbols: nothing can be said of them.
        return length
    about = max(rows_at_once // max(rows, 1), 1)
    if about >= length:
        return max(length, 1)
    divisors = [k for k in range(about // 2 + 1, 2 * about) if length % k == 0]
    return min(divisors, key=lambda k: abs(math.log(k / about)), default=about)


def rows_of(carry: Any) -> int | None:
    """How many rows stand side by side, as far as the carry tells; None for a symbol.

    Example:
      >>> rows_of({"h": jnp.zeros((5, 2, 4)), "clock": jnp.zeros(())})
      10
    """
    numbers = [math.prod(leaf.shape[:-1]) for leaf in jax.tree.leaves(carry)]
    if not all(isinstance(number, int) for number in numbers):  # As `jax.export` writes shapes.
        return None
    return max(numbers, default=1)


def few_rows(carry: Any) -> bool:
    """Whether a matrix product with these rows reads the matrix about as often as it uses it."""
    rows = rows_of(carry)
    return rows is not None and rows < ENOUGH_ROWS


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
