"""Averages of the parameters on their way, which often predict better than where they end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Weight = Callable[[jax.Array], jax.Array]


class AveragedState(NamedTuple):
    """State of an optimizer that keeps an average beside it."""

    inner: optax.OptState
    count: jax.Array
    average: Any  # like the parameters


def averaged(optimizer: optax.GradientTransformation, weight: Weight):
    """An optimizer that keeps an average of the parameters; training itself does not change.

        θ̄ₙ = θ̄ₙ₋₁ + wₙ (θₙ − θ̄ₙ₋₁)

    Args:
      optimizer: any Optax transformation.
      weight: wₙ for n = 1, 2, …: `exponential(decay)` or `since(start)`.

    Returns:
      An Optax transformation, to be outermost; `average_of` reads its average.

    Example:
      >>> optimizer = averaged(optax.sgd(1.0), since(0))
      >>> params = jnp.array(0.0)
      >>> state = optimizer.init(params)
      >>> for gradient in (-1.0, -2.0):
      ...     updates, state = optimizer.update(jnp.array(gradient), state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> float(params), float(state.average)  # the mean of 1 and 3
      (3.0, 2.0)
    """

    def init(params):
        return AveragedState(optimizer.init(params), jnp.zeros((), jnp.int32), params)

    def update(gradient, state, params=None, **extra):
        if params is None:
            raise ValueError(
                "averaged: give the parameters, as in update(gradient, state, params)."
            )
        updates, inner = optimizer.update(gradient, state.inner, params, **extra)
        count = state.count + 1
        new = optax.apply_updates(params, updates)
        share = weight(count.astype(float))

        def towards(average, value):
            return average + share.astype(average.dtype) * (value - average)

        average = jax.tree.map(towards, state.average, new)
        return updates, AveragedState(inner, count, average)

    return optax.GradientTransformationExtraArgs(init, update)


def exponential(decay: float) -> Weight:
    """The weights of an exponential average that begins as a plain one.

        wₙ = max(1 − decay, 1/n)

    Args:
      decay: how much of the average stays at each update, such as 0.999.

    Example:
      >>> [round(float(exponential(0.9)(jnp.array(n))), 3) for n in (1, 2, 100)]
      [1.0, 0.5, 0.1]
    """
    return lambda count: jnp.maximum(1 - decay, 1 / count)


def since(start: int) -> Weight:
    """The weights of the mean over all updates after one; until then the newest parameters.

        wₙ = 1 / max(1, n − start)

    Source: Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging";
    as the "ASGD" of Merity, Keskar and Socher (2018), arXiv:1708.02182.

    Args:
      start: the update after which the mean begins.

    Example:
      >>> [float(since(2)(jnp.array(n))) for n in (1, 2, 3, 4)]
      [1.0, 1.0, 1.0, 0.5]
    """
    return lambda count: 1 / jnp.maximum(1, count - start)


def average_of(state) -> Any:
    """The parameters to evaluate: the average where the optimizer keeps one, else the newest.

    Args:
      state: a `TrainState`.

    Example:
      >>> from jaxrnn.training import init_state
      >>> int(average_of(init_state(jnp.array(3), averaged(optax.sgd(0.1), since(0)))))
      3
    """
    averaging = isinstance(state.opt_state, AveragedState)
    return state.opt_state.average if averaging else state.params
