"""One training step as a pure function of the training state.

The carry enters a step as data. The window boundary is therefore where the gradient stops
(truncated backpropagation through time) while what the network remembers goes on.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

LossFn = Callable[[Any, Any, Any], tuple[jax.Array, Any]]


class TrainState(NamedTuple):
    """Everything a training step reads and replaces."""

    params: Any
    opt_state: optax.OptState
    carry: Any  # handed from one window to the next
    step: jax.Array


class TrainMetrics(NamedTuple):
    """What a training step says about itself, measured before the update."""

    loss: jax.Array
    gradient_norm: jax.Array  # global norm, before clipping


def adam(
    learning_rate: optax.ScalarOrSchedule = 2e-3,
    clip: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """Adam behind gradient clipping, the usual optimizer of recurrent networks.

    Source: Kingma and Ba (2015), "Adam: A Method for Stochastic Optimization", arXiv:1412.6980;
    Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks",
    arXiv:1211.5063 (clipping by norm).

    Args:
      learning_rate: a number or an Optax schedule.
      clip: the transformation in front; clipping to global norm 1 if None. `optax.clip(1.0)` clips
        each number by itself, and `optax.identity()` clips nothing.

    Returns:
      An Optax transformation.

    Example:
      >>> state = adam(clip=optax.clip(1.0)).init({"w": jnp.zeros(2)})
    """
    clip = optax.clip_by_global_norm(1.0) if clip is None else clip
    return optax.chain(clip, optax.adam(learning_rate))


def init_state(params, optimizer: optax.GradientTransformation, carry=()) -> TrainState:
    """The state before the first step.

    Args:
      params: the parameters to start from.
      optimizer: the transformation that the step will use.
      carry: what the loss function gets as its carry in the first window.

    Returns:
      A state of which no two leaves, and no leaf and an argument, share a buffer: it may be donated
      while the arguments stay valid.

    Example:
      >>> int(init_state({"w": jnp.zeros(2)}, adam()).step)
      0
    """
    state = TrainState(
        params=params, opt_state=optimizer.init(params), carry=carry, step=jnp.zeros((), jnp.int32)
    )
    return _copy(state)


def restart(state: TrainState, carry) -> TrainState:
    """The state with another carry, for the beginning of the next pass over a text.

    Args:
      state: the state to go on from.
      carry: what the next window begins with; it is copied, as in `init_state`.

    Returns:
      A state that may be donated.
    """
    return state._replace(carry=_copy(carry))


def _copy(tree):
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)


def make_update(loss_fn: LossFn, optimizer: optax.GradientTransformation):
    """Build the pure update `(state, batch) -> (state, metrics)`, not compiled.

    Being pure it composes: `jax.vmap(update, in_axes=(0, None))` trains an ensemble in one call.

    Args:
      loss_fn: `loss_fn(params, carry, batch) -> (loss, carry)`. A loss that starts each window
        afresh (and so trains a learned start) takes the carry `()` and hands it back.
      optimizer: any Optax transformation.

    Returns:
      The update.

    Example:
      >>> def loss_fn(params, carry, x):
      ...     return jnp.sum(jnp.square(params - x)), carry
      >>> update = make_update(loss_fn, optax.sgd(0.5))
      >>> state, metrics = update(init_state(jnp.zeros(()), optax.sgd(0.5)), 3.0)
      >>> float(state.params), float(metrics.loss), float(metrics.gradient_norm)
      (3.0, 9.0, 6.0)
    """

    def update(state: TrainState, batch) -> tuple[TrainState, TrainMetrics]:
        loss_and_gradient = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, carry), gradient = loss_and_gradient(state.params, state.carry, batch)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        new_state = TrainState(
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            carry=carry,
            step=state.step + 1,
        )
        return new_state, TrainMetrics(loss=loss, gradient_norm=optax.tree.norm(gradient))

    return update


def make_train_step(loss_fn: LossFn, optimizer: optax.GradientTransformation):
    """`make_update`, compiled, with the old state donated: do not use that one again.

    Args:
      loss_fn: `loss_fn(params, carry, batch) -> (loss, carry)`.
      optimizer: any Optax transformation.

    Returns:
      The compiled `(state, batch) -> (state, metrics)`.

    Example:
      >>> def loss_fn(params, carry, x):
      ...     return jnp.sum(jnp.square(params - x)), carry
      >>> train_step = make_train_step(loss_fn, optax.sgd(0.5))
      >>> state, _ = train_step(init_state(jnp.zeros(()), optax.sgd(0.5)), 3.0)
      >>> int(state.step)
      1
    """
    # A second buffer for parameters and moments costs memory and, on CPU, time for fresh pages.
    return jax.jit(make_update(loss_fn, optimizer), donate_argnums=0)
