import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.training import (
    activation_penalty,
    bits,
    cross_entropy,
    mean_squared_error,
    temporal_activation_penalty,
)


def test_cross_entropy_is_the_mean_negative_log_probability():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3, 7))
    targets = rng.integers(7, size=(5, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    picked = np.take_along_axis(probabilities, targets[..., None], axis=-1)
    np.testing.assert_allclose(cross_entropy(logits, targets), -np.log(picked).mean(), rtol=1e-12)


def test_cross_entropy_stays_finite_where_the_softmax_would_overflow():
    loss = cross_entropy(jnp.array([[1e4, 0.0]]), jnp.array([1]))
    np.testing.assert_allclose(loss, 1e4)


def test_bfloat16_logits_are_summed_in_float32():
    assert cross_entropy(jnp.zeros((2, 3), jnp.bfloat16), jnp.zeros(2, int)).dtype == jnp.float32


def test_cross_entropy_refuses_targets_that_are_no_classes():
    logits = jnp.zeros((2, 4))
    with pytest.raises(TypeError, match="integer classes"):
        cross_entropy(logits, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        cross_entropy(logits, jnp.zeros((2, 1), int))
    for wrong in (4, -1):
        with pytest.raises(ValueError, match="classes 0 to 3"):
            cross_entropy(logits, jnp.array([0, wrong]))


def test_cross_entropy_compiles():
    logits, targets = jnp.zeros((2, 4)), jnp.array([0, 3])
    np.testing.assert_allclose(jax.jit(cross_entropy)(logits, targets), np.log(4))


def test_bits():
    np.testing.assert_allclose(bits(np.log([2.0, 8.0])), [1.0, 3.0])


def test_mean_squared_error_refuses_to_broadcast():
    np.testing.assert_allclose(mean_squared_error(jnp.ones((2, 3)), jnp.full((2, 3), 4.0)), 9.0)
    with pytest.raises(ValueError, match="same shape"):
        mean_squared_error(jnp.ones((2, 1)), jnp.ones((2, 3)))


def test_unknown_targets_that_are_no_classes_make_loss_and_gradient_nan():
    logits = jnp.zeros((2, 4))
    for wrong in (-1, 4, -4, 100):
        loss, slope = jax.jit(jax.value_and_grad(cross_entropy))(logits, jnp.array([0, wrong]))
        assert jnp.isnan(loss) and jnp.isnan(slope[1]).all() and jnp.isfinite(slope[0]).all()


def test_targets_known_while_tracing_are_refused_there():
    with pytest.raises(ValueError, match="targets run from -1 to 0"):
        jax.jit(lambda logits: cross_entropy(logits, np.array([0, -1])))(jnp.zeros((2, 4)))
    mask = np.array([True, False])
    loss = jax.jit(lambda logits: cross_entropy(logits, [0, -1], mask))(jnp.zeros((2, 4)))
    np.testing.assert_allclose(loss, np.log(4))


def test_targets_of_a_narrow_dtype_reach_all_classes_they_can():
    logits = jnp.zeros((3, 300))
    for dtype in (jnp.uint8, jnp.int8, jnp.uint32):
        loss = jax.jit(cross_entropy)(logits, jnp.array([0, 1, 127], dtype))
        np.testing.assert_allclose(loss, np.log(300))


MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)


@pytest.mark.parametrize("jit", [False, True])
def test_losses_do_not_see_what_is_masked(jit):
    rng = np.random.default_rng(0)
    logits, wanted = rng.normal(size=(2, 3, 3, 5))
    targets = np.where(MASK, rng.integers(5, size=(3, 3)), -1)
    broken = np.where(MASK[..., None], logits, np.nan)
    cases = [
        (cross_entropy, (targets,), (targets[MASK],)),
        (mean_squared_error, (broken[..., ::-1],), (logits[MASK][:, ::-1],)),
        (mean_squared_error, (wanted,), (wanted[MASK],)),
    ]
    for loss, padded, kept in cases:
        run = jax.value_and_grad(loss)
        run = jax.jit(run) if jit else run
        value, slope = run(jnp.asarray(broken), *map(jnp.asarray, padded), jnp.asarray(MASK))
        expected, slope_kept = jax.value_and_grad(loss)(
            jnp.asarray(logits[MASK]), *map(jnp.asarray, kept)
        )
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(slope[MASK], slope_kept, rtol=1e-12)
        assert (slope[~MASK] == 0).all()
        value, slope = run(jnp.asarray(broken), *map(jnp.asarray, padded), jnp.zeros((3, 3), bool))
        assert value == 0 and (slope == 0).all()


def test_a_mask_of_numbers_and_a_mask_of_instants():
    predictions = jnp.array([[1.0, jnp.nan], [3.0, 2.0]])
    flags = jnp.array([[True, False], [False, True]])
    np.testing.assert_allclose(mean_squared_error(predictions, jnp.zeros((2, 2)), flags), 2.5)
    only = jnp.array([False, True])
    np.testing.assert_allclose(mean_squared_error(predictions, jnp.zeros((2, 2)), only), 6.5)


def test_a_valid_target_out_of_range_is_still_refused():
    mask = jnp.array([True, False])
    with pytest.raises(ValueError, match="targets run from 7 to 7"):
        cross_entropy(jnp.zeros((2, 4)), jnp.array([7, -1]), mask)
    assert jnp.isnan(jax.jit(cross_entropy)(jnp.zeros((2, 4)), jnp.array([7, -1]), mask))


MASK_OF_ROWS = np.arange(5)[:, None] < np.array([[5, 2]])


def test_the_losses_of_padded_sequences_are_those_of_the_rows_alone():
    layer = jaxrnn.stack(jaxrnn.GRU(2, 3), jaxrnn.Linear(3, 4))
    params = layer.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (5, 2, 2))
    targets = jnp.where(MASK_OF_ROWS, 1, -1)
    _, logits = jaxrnn.unroll(layer, params, xs, lengths=[5, 2])
    rows = [jaxrnn.unroll(layer, params, xs[:n, row])[1] for row, n in enumerate([5, 2])]
    alone = cross_entropy(jnp.concatenate(rows), jnp.ones(7, int))
    np.testing.assert_allclose(cross_entropy(logits, targets, MASK_OF_ROWS), alone, rtol=1e-12)


def test_squares_are_taken_in_float32_at_least():
    for low in (jnp.float16, jnp.bfloat16):
        loss = mean_squared_error(jnp.full(2, 300, low), jnp.zeros(2, low))
        assert loss.dtype == jnp.float32
        np.testing.assert_allclose(loss, 9e4, rtol=1e-2)
    loss = mean_squared_error(jnp.zeros(2, jnp.float32), jnp.full(2, 200, jnp.uint8))
    assert loss.dtype == jnp.float32 and loss == 4e4
    assert mean_squared_error(jnp.zeros(2, jnp.float32), jnp.zeros(2)).dtype == jnp.float64


def test_predictions_that_are_no_floating_point_numbers_are_refused():
    sentence = "have dtype uint8; expected floating-point numbers.*cast with"
    with pytest.raises(TypeError, match="predictions " + sentence):
        mean_squared_error(jnp.zeros(2, jnp.uint8), jnp.zeros(2, jnp.uint8))
    with pytest.raises(TypeError, match="logits " + sentence):
        cross_entropy(jnp.zeros((2, 3), jnp.uint8), jnp.zeros(2, int))
    with pytest.raises(TypeError, match="targets have dtype complex128; give real numbers"):
        mean_squared_error(jnp.zeros(2), jnp.zeros(2, complex))


@pytest.mark.parametrize(
    ("mask", "error", "sentence"),
    [
        (np.ones((5, 2)), TypeError, "mask has dtype float64; expected booleans.*give mask != 0"),
        (np.ones((5, 2), int), TypeError, "mask has dtype int64; expected booleans"),
        ("ab", TypeError, "mask must be an array of booleans.*got a value of type str"),
        (np.ones(5, bool), ValueError, r"shape \(5,\); expected \(5, 2\).*give one flag"),
        (np.ones((5, 1), bool), ValueError, r"shape \(5, 1\); expected \(5, 2\)"),
        (np.ones((2, 5), bool), ValueError, "Time is axis 0"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, error, sentence):
    ys = jnp.zeros((5, 2, 3))
    calls = [
        lambda: cross_entropy(ys, jnp.zeros((5, 2), int), mask),
        lambda: mean_squared_error(ys, ys, mask),
        lambda: activation_penalty(ys, mask),
        lambda: temporal_activation_penalty(ys, mask),
    ]
    for call in calls:
        with pytest.raises(error, match=sentence):
            call()
