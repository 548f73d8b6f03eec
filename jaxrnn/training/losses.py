"""Losses: one number from predictions and targets of the same layout."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*time_batch classes"], targets: Int[Array, "*time_batch"]
) -> Float[Array, ""]:
    """Mean negative log-likelihood of the targets, in nats.

        loss = − mean log softmax(logits)[target]

    Logits below float32 are widened first: the logarithm of a sum is where bfloat16 loses most.

    Args:
      logits: [*time_batch, classes]; unnormalised log-probabilities.
      targets: [*time_batch]; integer classes, 0 ≤ target < classes.

    Returns:
      A scalar in nats; `bits` converts it.

    Raises:
      TypeError: if the targets are not integers.
      ValueError: if the shapes disagree, or a target known before tracing is out of range.

    Example:
      >>> loss = cross_entropy(jnp.zeros((3, 4)), jnp.array([0, 1, 3]))
      >>> bool(jnp.isclose(loss, jnp.log(4.0)))
      True
    """
    logits, targets = jnp.asarray(logits), jnp.asarray(targets)
    _check_targets(logits, targets)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def bits(nats):
    """Convert nats to bits: bits = nats / ln 2.

    Args:
      nats: a number or an array of any shape.

    Returns:
      The same quantity in bits, in the same shape.

    Example:
      >>> round(bits(math.log(256)), 6)
      8.0
    """
    return nats / math.log(2)


def mean_squared_error(
    predictions: Float[Array, "*shape"], targets: Float[Array, "*shape"]
) -> Float[Array, ""]:
    """Mean of (prediction − target)², without the factor ½ that some texts put in front.

    Args:
      predictions: [*shape].
      targets: [*shape]; equal shapes only, because a silent broadcast is the classic wrong loss.

    Returns:
      A scalar.

    Raises:
      ValueError: if the shapes disagree.

    Example:
      >>> float(mean_squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])))
      2.0
    """
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions have shape {predictions.shape} and targets {targets.shape}: "
            "give both the same shape."
        )
    return jnp.mean(jnp.square(predictions - targets))


def _check_targets(logits, targets):
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(
            f"targets have dtype {targets.dtype}; give integer classes, not probabilities."
        )
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits have shape {logits.shape}, so targets should have shape {logits.shape[:-1]}; "
            f"they have {targets.shape}."
        )
    # Under jit the values are unknown, and JAX clamps what is out of range instead of failing.
    if isinstance(targets, jax.core.Tracer) or targets.size == 0:
        return
    known = np.asarray(targets)  # Inside jax.jit, jnp would make a tracer of it.
    smallest, largest = int(known.min()), int(known.max())
    if smallest < 0 or largest >= logits.shape[-1]:
        raise ValueError(
            f"targets run from {smallest} to {largest}, but the logits know the "
            f"{logits.shape[-1]} classes 0 to {logits.shape[-1] - 1}."
        )
