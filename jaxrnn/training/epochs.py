"""Many epochs in one compiled call, for data that is small enough to be seen again and again."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax

from jaxrnn.errors import InputError
from jaxrnn.training.step import TrainMetrics, TrainState


class History(NamedTuple):
    """What happened epoch by epoch."""

    metrics: TrainMetrics  # each leaf [epochs, batches, ...]
    watched: Any  # what `watch` said, each leaf [epochs, ...]


def run_epochs(
    update: Callable[[TrainState, Any], tuple[TrainState, TrainMetrics]],
    state: TrainState,
    batches: Any,
    epochs: int,
    watch: Callable[[Any], Any] | None = None,
) -> tuple[TrainState, History]:
    """Train for a number of epochs inside one compiled loop, without going back to Python.

    On a network of a few dozen units an update takes microseconds, and calling it from Python takes
    longer than computing it. An epoch takes the batches in order and begins with the carry that
    `state` came with.

    Args:
      update: `(state, batch) -> (state, metrics)`, as from `make_update`; under `jax.vmap`, a whole
        ensemble. It is recognised by identity, so make it once.
      state: where to begin.
      batches: a batch with one more axis in front, the batches of an epoch.
      epochs: how often to go through them.
      watch: `watch(params)`, called before each epoch, and kept beside the metrics.

    Returns:
      The state after the last epoch, and the history of all of them.

    Raises:
      InputError: if `epochs` is not positive.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from jaxrnn.training import init_state, make_update
      >>> def loss_fn(params, carry, x):
      ...     return jnp.square(params - x), carry
      >>> optimizer = optax.sgd(0.25)
      >>> state = init_state(jnp.array(0.0), optimizer)
      >>> update = make_update(loss_fn, optimizer)
      >>> state, history = run_epochs(update, state, jnp.array([1.0]), epochs=3)
      >>> history.metrics.loss[:, 0].tolist(), float(state.params)
      ([1.0, 0.25, 0.0625], 0.875)
    """
    if epochs < 1:
        raise InputError(f"epochs is {epochs}; give a positive number.")
    return _run(update, watch, epochs, state, batches)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(update, watch, epochs, state, batches):
    beginning = state.carry

    def epoch(state, _):
        watched = () if watch is None else watch(state.params)
        state, metrics = lax.scan(update, state._replace(carry=beginning), batches)
        return state, History(metrics=metrics, watched=watched)

    return lax.scan(epoch, state, length=epochs)
