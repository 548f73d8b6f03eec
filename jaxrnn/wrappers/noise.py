"""Random masks, shared by every layer that drops something."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import checks


def check_rate(owner: Any, **rates: float) -> None:
    """Raise unless every rate is a number in [0, 1].

    Raises:
      TypeError: if a rate is not a real number (True is not).
      ValueError: if it lies outside [0, 1].
    """
    for name, rate in rates.items():
        problem = (
            f"{checks.name_of(owner)}: {name} must be a probability, a number in [0, 1]; "
            f"got {rate!r}."
        )
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
            raise TypeError(problem)
        if not 0 <= rate <= 1:
            raise ValueError(problem)


def scaled_mask(key: jax.Array, rate: float, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Zero with probability `rate`, else 1/(1 − rate), so that the expectation is 1.

    Example:
      >>> sorted(set(scaled_mask(jax.random.key(0), 0.5, (100,), jnp.float32).tolist()))
      [0.0, 2.0]
    """
    if rate == 1:  # Everything is dropped, and nothing is left to scale up.
        return jnp.zeros(shape, dtype)
    return jax.random.bernoulli(key, 1 - rate, shape).astype(dtype) / float(1 - rate)


def over_time(mask: jax.Array, length: int) -> jax.Array:
    """One mask for all instants: `[*shape] -> [length, *shape]`."""
    return jnp.broadcast_to(mask, (length, *mask.shape))
