"""Penalties on what a recurrent layer writes: add them to the loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def activation_penalty(
    ys: Float[Array, "time *batch width"], mask: Bool[Array, "time *batch"] | None = None
) -> Float[Array, ""]:
    """Activation regularisation (AR): the mean square of the outputs.

        AR = mean_t |y_t|² / width

    Source: Merity, McCann & Socher (2017), section 3, arXiv:1708.01009. There it is taken of the
    outputs after dropout and weighted with α = 2.

    Args:
      ys: `[time, *batch, width]`.
      mask: `[time, *batch]`, True at valid instants; None where all are.

    Returns:
      A scalar; 0 where no instant is valid.

    Example:
      >>> float(activation_penalty(jnp.full((5, 2, 3), 2.0)))
      4.0
    """
    return _mean_square(ys, mask)


def temporal_activation_penalty(
    ys: Float[Array, "time *batch width"], mask: Bool[Array, "time *batch"] | None = None
) -> Float[Array, ""]:
    """Temporal activation regularisation (TAR): the mean square of changes between instants.

        TAR = mean_t |y_{t+1} − y_t|² / width

    Source: Merity, McCann & Socher (2017), section 3, arXiv:1708.01009, after Krueger & Memisevic
    (2016). There it is taken of the outputs before dropout and weighted with β = 1.

    Args:
      ys: `[time, *batch, width]`.
      mask: `[time, *batch]`; a change counts where both its instants are valid.

    Returns:
      A scalar; 0 where no change is valid.

    Example:
      >>> float(temporal_activation_penalty(jnp.arange(4.0).reshape(4, 1)))
      1.0
    """
    both = None if mask is None else mask[1:] & mask[:-1]
    return _mean_square(ys[1:] - ys[:-1], both)


def _mean_square(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    if mask is None:
        mask = jnp.ones(values.shape[:-1], bool)
    count = jnp.maximum(mask.sum() * values.shape[-1], 1)
    # Masked before it is squared: the slope of a square that is NaN is NaN, even times zero.
    return jnp.square(jnp.where(mask[..., None], values, 0)).sum() / count
