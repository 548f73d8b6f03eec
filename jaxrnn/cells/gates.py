"""Activations of gates, and the slopes that a derivative by hand needs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Activation = Callable[[jax.Array], jax.Array]


def sigmoid_tanh_block(z: jax.Array, pattern: str) -> jax.Array:
    """Squash a block of gates at once: `σ` for each 's' of `pattern`, `tanh` for each 't'.

    One `tanh` goes over the whole block, because `σ(z) = ½ tanh(½ z) + ½`. On CPU, splitting the
    block before the activations makes the pointwise part of the loop several times slower; the
    barrier keeps XLA from moving the split up again.

    Args:
      z: `[*any, len(pattern) * hidden]`.
      pattern: one letter per gate.

    Returns:
      The activated gates, `[*any, len(pattern) * hidden]`, in the dtype of `z`.

    Example:
      >>> sigmoid_tanh_block(jnp.zeros(2), "st").tolist()
      [0.5, 0.0]
    """
    hidden = z.shape[-1] // len(pattern)
    half = jnp.repeat(jnp.array([0.5 if gate == "s" else 1.0 for gate in pattern], z.dtype), hidden)
    shift = jnp.repeat(
        jnp.array([0.5 if gate == "s" else 0.0 for gate in pattern], z.dtype), hidden
    )
    half, shift = (lax.broadcast_in_dim(v, z.shape, (z.ndim - 1,)) for v in (half, shift))
    return lax.optimization_barrier(half * jnp.tanh(half * z) + shift)


def with_slope(activation: Activation, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`φ(z)` and `φ′(z)` for a pointwise φ: by hand where it is known, else by `jax.jvp`.

    Example:
      >>> y, slope = with_slope(jnp.tanh, jnp.zeros(1))
      >>> slope.tolist()
      [1.0]
    """
    if activation in _SLOPE_FROM_OUTPUT:
        y = activation(z)
        return y, _SLOPE_FROM_OUTPUT[activation](y)
    return jax.jvp(activation, (z,), (jnp.ones_like(z),))


# The slope as a function of the output y, as it stands in textbooks: tanh′ = 1 − tanh².
_SLOPE_FROM_OUTPUT = {
    jnp.tanh: lambda y: 1 - y * y,
    jax.nn.sigmoid: lambda y: y * (1 - y),
    jax.nn.relu: lambda y: (y > 0).astype(y.dtype),
}
