"""Losses: one number from predictions and targets of the same layout."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Real


def cross_entropy(
    logits: Float[Array, "*time_batch classes"],
    targets: Int[Array, "*time_batch"],
    mask: Bool[Array, "*time_batch"] | None = None,
) -> Float[Array, ""]:
    """Mean negative log-likelihood of the targets, in nats.

        loss = − mean log softmax(logits)[target]

    Logits below float32 are widened first: the logarithm of a sum is where bfloat16 loses most.

    Args:
      logits: [*time_batch, classes]; unnormalised log-probabilities.
      targets: [*time_batch]; integer classes, 0 ≤ target < classes.
      mask: [*time_batch], True at valid instants, over which the mean is taken; None where all
        are. What is masked may hold anything, a NaN or the target −1, and has no gradient.

    Returns:
      A scalar in nats, 0 where the mask is False everywhere; `bits` converts it. NaN, and so is
      its gradient, where a target known only after tracing is out of range.

    Raises:
      TypeError: if the logits are not floating-point, the targets not integers, or the mask not
        boolean.
      ValueError: if the shapes disagree, or a target known before tracing is out of range.

    Example:
      >>> loss = cross_entropy(jnp.zeros((3, 4)), jnp.array([0, 1, 3]))
      >>> bool(jnp.isclose(loss, jnp.log(4.0)))
      True

      In a ragged batch the padding does not count:

      >>> lengths, targets = jnp.array([3, 1]), jnp.array([[0, 2], [1, -1], [3, -1]])
      >>> mask = jnp.arange(3)[:, None] < lengths[None, :]
      >>> loss = cross_entropy(jnp.zeros((3, 2, 4)), targets, mask)
      >>> bool(jnp.isclose(loss, jnp.log(4.0)))
      True
    """
    given = targets, mask  # Inside jax.jit, jnp makes tracers even of what is known.
    logits, targets = widen("logits", logits), jnp.asarray(targets)
    _check_targets(logits, targets)
    if mask is not None:
        mask = as_mask(mask, targets.shape)
    _check_range(*given, logits.shape[-1])
    if mask is not None:
        # Masked before the logarithm: the slope of what is NaN is NaN, even times zero.
        logits, targets = jnp.where(mask[..., None], logits, 0), jnp.where(mask, targets, 0)
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    # Multiplied, where a choice would leave the gradient finite, and training would go on.
    nats = nats * _nan_where_out_of_range(targets, logits)
    return nats.mean() if mask is None else masked_mean(nats, mask)


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
    predictions: Float[Array, "*shape"],
    targets: Real[Array, "*shape"],
    mask: Bool[Array, "*time_batch"] | None = None,
) -> Float[Array, ""]:
    """Mean of (prediction − target)², without the factor ½ that some texts put in front.

    What is below float32 is widened first: the square of 300 is already too much for float16.

    Args:
      predictions: [*shape].
      targets: [*shape]; equal shapes only, because a silent broadcast is the classic wrong loss.
      mask: [time, *batch] for predictions [time, *batch, width], True at valid instants, over which
        the mean is taken, or one flag per number, [*shape]; None where all are valid. What is
        masked may hold anything, a NaN included, and has no gradient.

    Returns:
      A scalar, 0 where the mask is False everywhere.

    Raises:
      TypeError: if the predictions are not floating-point, the targets not real numbers, or the
        mask not boolean.
      ValueError: if the shapes disagree.

    Example:
      >>> float(mean_squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])))
      2.0

      Of two rows of width 1, the second is over after one instant:

      >>> mask = jnp.array([[True, True], [True, False]])
      >>> ys = jnp.array([[[2.0], [2.0]], [[2.0], [9.0]]])
      >>> float(mean_squared_error(ys, jnp.zeros((2, 2, 1)), mask))
      4.0
    """
    predictions, targets = widen("predictions", predictions), jnp.asarray(targets)
    if jnp.issubdtype(targets.dtype, jnp.complexfloating):
        raise TypeError(f"targets have dtype {targets.dtype}; give real numbers, as predictions.")
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions have shape {predictions.shape} and targets {targets.shape}: "
            "give both the same shape."
        )
    if jnp.issubdtype(targets.dtype, jnp.floating):
        targets = widen("targets", targets)
    else:
        targets = targets.astype(predictions.dtype)
    error = predictions - targets
    if mask is None:
        return jnp.mean(jnp.square(error))
    mask = as_mask(mask, error.shape[:-1], error.shape)
    return masked_mean(jnp.square(masked(error, mask)), mask)


def widen(name: str, values: Any) -> jax.Array:
    """`values` in float32 where they are narrower, as they are where they are not.

    Raises:
      TypeError: if they are not floating-point; `name` says which they are.

    Example:
      >>> widen("ys", jnp.ones(3, jnp.float16)).dtype
      dtype('float32')
    """
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(
            f"{name} have dtype {values.dtype}; expected floating-point numbers, as networks write "
            f"them: cast with .astype(jnp.float32)."
        )
    return values.astype(jnp.float32) if jnp.finfo(values.dtype).bits < 32 else values


def as_mask(mask: Any, shape: tuple[int, ...], *others: tuple[int, ...]) -> jax.Array:
    """`mask` as an array of booleans of `shape`, or of one of the others that also make sense.

    Raises:
      TypeError: if it is not boolean.
      ValueError: if it has another shape.

    Example:
      >>> as_mask(jnp.array([1, 0], jnp.int32), (2,))
      Traceback (most recent call last):
      TypeError: mask has dtype int32; expected booleans, True where valid: give mask != 0.
    """
    try:
        mask = jnp.asarray(mask)
    except (TypeError, ValueError):
        raise TypeError(
            f"mask must be an array of booleans, one per instant and row; got a value of type "
            f"{type(mask).__name__}."
        ) from None
    if mask.dtype != jnp.bool_:
        raise TypeError(
            f"mask has dtype {mask.dtype}; expected booleans, True where valid: give mask != 0."
        )
    if mask.shape not in (shape, *others):
        hint = ""
        if sorted(mask.shape) == sorted(shape):
            hint = " Are its axes in another order? Time is axis 0: give mask.T, or move them."
        expected = " or ".join(map(str, (shape, *others)))
        raise ValueError(
            f"mask has shape {mask.shape}; expected {expected}: give one flag per instant and "
            f"row.{hint}"
        )
    return mask


def masked(values: jax.Array, mask: jax.Array) -> jax.Array:
    """`values` with zeros where the mask, which may lack the last axis, is False.

    Example:
      >>> masked(jnp.array([[1.0, 2.0], [3.0, jnp.nan]]), jnp.array([True, False])).tolist()
      [[1.0, 2.0], [0.0, 0.0]]
    """
    return jnp.where(mask if mask.ndim == values.ndim else mask[..., None], values, 0)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of the values where the mask, which may lack the last axis, is True; 0 where nowhere.

    Example:
      >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])))
      2.0
    """
    width = 1 if mask.ndim == values.ndim else values.shape[-1]
    return masked(values, mask).sum() / jnp.maximum(mask.sum() * width, 1)


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


def _check_range(targets, mask, classes):
    # Under jit the values are unknown; `_nan_where_out_of_range` answers there.
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((targets, mask))):
        return
    known = np.asarray(targets)
    if mask is not None:
        known = known[np.asarray(mask)]
    if known.size == 0:
        return
    smallest, largest = int(known.min()), int(known.max())
    if smallest < 0 or largest >= classes:
        raise ValueError(
            f"targets run from {smallest} to {largest}, but the logits know the "
            f"{classes} classes 0 to {classes - 1}."
        )


def _nan_where_out_of_range(targets, logits):
    """NaN at targets that are no classes, one elsewhere.

    Left alone, JAX reads a negative target from the end, so that −1 would be the last class.
    """
    # A dtype too narrow for the largest class cannot be compared with it, and cannot exceed it.
    largest = min(logits.shape[-1] - 1, int(jnp.iinfo(targets.dtype).max))
    wrong = (targets < 0) | (targets > largest)
    return jnp.where(wrong, jnp.nan, 1).astype(logits.dtype)
