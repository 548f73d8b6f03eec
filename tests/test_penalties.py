"""Penalties on what layers write: their equations, masks, dtypes and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close

from jaxrnn.training import activation_penalty, temporal_activation_penalty

TIME, ROWS = 5, 3


def test_penalties_are_their_equations():
    ys = np.random.default_rng(0).standard_normal((TIME, ROWS, 4))
    assert_close(activation_penalty(jnp.asarray(ys)), (ys**2).sum() / (TIME * ROWS * 4))
    changes = [(ys[t + 1] - ys[t]) ** 2 for t in range(TIME - 1)]
    assert_close(
        temporal_activation_penalty(jnp.asarray(ys)), np.sum(changes) / ((TIME - 1) * ROWS * 4)
    )


def test_penalties_do_not_see_what_is_masked():
    rng = np.random.default_rng(1)
    mask = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], bool)
    ys = np.where(mask[..., None], rng.standard_normal((TIME, ROWS, 4)), np.nan)
    kept = ys[mask]
    assert_close(activation_penalty(jnp.asarray(ys), jnp.asarray(mask)), (kept**2).mean())
    changes = [(ys[t + 1] - ys[t]) ** 2 for t in range(TIME - 1)]
    assert_close(
        temporal_activation_penalty(jnp.asarray(ys), jnp.asarray(mask)), np.nanmean(changes)
    )
    for penalty in (activation_penalty, temporal_activation_penalty):
        slope = jax.jit(jax.grad(penalty))(jnp.asarray(ys), jnp.asarray(mask))
        assert jnp.isfinite(slope).all() and (slope[~mask] == 0).all() and (slope[mask] != 0).any()
        assert penalty(jnp.asarray(ys), jnp.zeros_like(mask)) == 0
    assert temporal_activation_penalty(jnp.ones((1, 4))) == 0


@pytest.mark.parametrize("low", [jnp.float16, jnp.bfloat16])
def test_penalties_are_taken_in_float32_at_least(low):
    for penalty, ys, value in (
        (activation_penalty, jnp.ones((35, 64, 64), low), 1),
        (activation_penalty, jnp.full((3, 4), 512, low), 512**2),
        (temporal_activation_penalty, jnp.array([[-512], [512]], low), 1024**2),
    ):
        assert penalty(ys).dtype == jnp.float32 and penalty(ys) == value


def test_penalties_refuse_what_no_layer_writes():
    for penalty in (activation_penalty, temporal_activation_penalty):
        with pytest.raises(TypeError, match="ys have dtype uint8; expected floating-point"):
            penalty(jnp.ones((5, 2), jnp.uint8))
        with pytest.raises(ValueError, match=r"ys have shape \(5,\); expected \[time, \*batch"):
            penalty(jnp.ones(5))
