"""Updates that are left out where they would spoil the parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn.training.step import TrainMetrics, TrainState


class GuardedMetrics(NamedTuple):
    """What a guarded step says about itself."""

    loss: jax.Array
    gradient_norm: jax.Array  # global norm, before clipping
    update_ratio: jax.Array  # ‖Δθ‖ / ‖θ‖; about a thousandth is usual
    skipped: jax.Array  # whether the update was left out


def guard(
    update: Callable[[TrainState, Any], tuple[TrainState, TrainMetrics]],
) -> Callable[[TrainState, Any], tuple[TrainState, GuardedMetrics]]:
    """Leave an update out if its loss, its gradient or its carry is not finite.

    Parameters, optimizer state and carry are then as they were before, and only the step is
    counted: one bad batch costs that batch and nothing else. `optax.apply_if_finite` lets bad
    updates through after a number of them; this never does.

    Args:
      update: `(state, batch) -> (state, metrics)`, as from `make_update`.

    Returns:
      An update that says whether it was skipped.

    Example:
      >>> from jaxrnn.training import init_state, make_update
      >>> update = make_update(lambda w, carry, x: (w * x, carry), optax.sgd(0.5))
      >>> state = init_state(jnp.array(2.0), optax.sgd(0.5))
      >>> for x in (1.0, jnp.nan):
      ...     state, metrics = guard(update)(state, x)
      >>> float(state.params), int(state.step), bool(metrics.skipped)
      (1.5, 2, True)
    """

    def guarded(state: TrainState, batch) -> tuple[TrainState, GuardedMetrics]:
        new, metrics = update(state, batch)
        carries = (jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(new.carry))
        good = jnp.isfinite(metrics.loss) & jnp.isfinite(metrics.gradient_norm)
        for finite in carries:
            good &= finite
        # A choice for each number rather than `lax.cond`: it joins the loop of the update itself.
        kept = jax.tree.map(lambda after, before: jnp.where(good, after, before), new, state)
        moved = optax.tree.norm(optax.tree.sub(kept.params, state.params))
        size = optax.tree.norm(state.params)
        return kept._replace(step=new.step), GuardedMetrics(
            loss=metrics.loss,
            gradient_norm=metrics.gradient_norm,
            update_ratio=moved / jnp.maximum(size, jnp.finfo(size.dtype).tiny),
            skipped=~good,
        )

    return guarded
