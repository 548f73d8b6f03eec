"""A network that reads what it wrote, with a choice of what exactly it gets to read."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.cell import Layer


def free_run(
    layer: Layer,
    params: Any,
    x: Float[Array, "*batch input"],
    length: int,
    feed_back: Callable[[jax.Array], jax.Array],
    carry: Any = None,
) -> tuple[Any, Float[Array, "time *batch output"]]:
    """Run a layer on its own output: x_{t+1} = feed_back(y_t).

    What comes back decides whether the network stays on its path: trained on one-hot vectors, it
    has never seen anything else. `most_likely` gives it one; the identity gives it its raw output,
    which is a little off, and the next one a little more.

    To write text with a temperature, from tokens, use `generate`.

    Args:
      layer: a cell or a network that reads vectors.
      params: its parameters.
      x: [*batch, input]; the first input.
      length: instants to run.
      feed_back: what becomes of an output before it is the next input.
      carry: the carry before the first instant; None for `layer.start`.

    Returns:
      carry: after the last instant.  ys: [time, *batch, output].

    Example:
      >>> import jaxrnn
      >>> cell = jaxrnn.GRU(4, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = free_run(cell, params, jnp.eye(4)[0], 10, most_likely)
      >>> ys.shape
      (10, 4)
    """
    carry = layer.start(params, x.shape[:-1]) if carry is None else carry
    return _run(layer, length, feed_back, params, carry, x)


def most_likely(y: Float[Array, "*batch tokens"]) -> Float[Array, "*batch tokens"]:
    """The one-hot vector of the largest entry.

    Example:
      >>> most_likely(jnp.array([0.2, 0.9, -0.1])).tolist()
      [0.0, 1.0, 0.0]
    """
    return jax.nn.one_hot(jnp.argmax(y, axis=-1), y.shape[-1], dtype=y.dtype)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(layer, length, feed_back, params, carry, x):
    def instant(state, _):
        carry, x = state
        carry, y = layer(params, carry, x)
        return (carry, feed_back(y)), y

    (carry, _), ys = lax.scan(instant, (carry, x), length=length)
    return carry, ys
