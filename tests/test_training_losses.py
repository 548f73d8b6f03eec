import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.training import bits, cross_entropy, mean_squared_error


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
