"""Penalties on what a recurrent layer writes: add them to the loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn.training.losses import as_mask, masked, masked_mean, widen


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
      A scalar, float32 at least; 0 where no instant is valid.

    Raises:
      TypeError: if the outputs are not floating-point or the mask not boolean.
      ValueError: if the mask has not the axes of the outputs but the last, or these have none.

    Example:
      >>> float(activation_penalty(jnp.full((5, 2, 3), 2.0)))
      4.0
    """
    ys, mask = _checked(ys, mask)
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
      A scalar, float32 at least; 0 where no change is valid.

    Raises:
      TypeError: if the outputs are not floating-point or the mask not boolean.
      ValueError: if the mask has not the axes of the outputs but the last, or these have none.

    Example:
      >>> float(temporal_activation_penalty(jnp.arange(4.0).reshape(4, 1)))
      1.0
    """
    ys, mask = _checked(ys, mask)
    return _mean_square(ys[1:] - ys[:-1], mask[1:] & mask[:-1])


def _checked(ys: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    # Widened before anything is summed: a float16 counts no further than 65504.
    ys = widen("ys", ys)
    if ys.ndim < 2:
        raise ValueError(
            f"ys have shape {ys.shape}; expected [time, *batch, width]: give at least two axes."
        )
    if mask is None:
        return ys, jnp.ones(ys.shape[:-1], bool)
    return ys, as_mask(mask, ys.shape[:-1])


def _mean_square(values: jax.Array, mask: jax.Array) -> jax.Array:
    # Masked before it is squared: the slope of a square that is NaN is NaN, even times zero.
    return masked_mean(jnp.square(masked(values, mask)), mask)
