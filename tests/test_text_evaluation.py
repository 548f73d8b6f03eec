"""Probabilities of a text, and dynamic evaluation against loops written out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import text
from jaxrnn.errors import InputError
from jaxrnn.training import contiguous_windows

NETWORK = jaxrnn.stack(jaxrnn.Embedding(5, 4), jaxrnn.GRU(4, 6), jaxrnn.Linear(6, 5))
TOKENS = np.random.default_rng(0).integers(5, size=(48, 2))


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(lambda leaf: 2 * leaf, NETWORK.init(jax.random.key(0)))


def by_hand(params, tokens, carry):
    """Read token by token; the surprise of each after the first."""
    surprise = []
    for now, later in zip(tokens[:-1], tokens[1:], strict=True):
        carry, logits = NETWORK(params, carry, jnp.asarray(now))
        surprise.append(jax.scipy.special.logsumexp(logits) - logits[later])
    return jnp.stack(surprise), carry


def test_log_probabilities_are_those_of_a_loop_and_the_text_may_be_cut(params):
    whole, end = jax.jit(by_hand)(params, TOKENS[:, 0], NETWORK.start(params))
    for window in (7, 1024):
        carry, found = text.log_probabilities(NETWORK, params, TOKENS[:, 0], window=window)
        np.testing.assert_allclose(found, -whole, rtol=1e-12)
        # The last window was padded; the carry must not have read the padding.
        np.testing.assert_allclose(carry.layers[1].h, end.layers[1].h, rtol=1e-12)
    carry, first = text.log_probabilities(NETWORK, params, TOKENS[:20, 0], window=7)
    _, second = text.log_probabilities(NETWORK, params, TOKENS[19:, 0], carry, window=7)
    np.testing.assert_allclose(np.concatenate([first, second]), -whole, rtol=1e-12)


def test_streams_are_read_side_by_side(params):
    _, both = text.log_probabilities(NETWORK, params, TOKENS, window=7)
    for stream in range(2):
        _, alone = text.log_probabilities(NETWORK, params, TOKENS[:, stream], window=7)
        np.testing.assert_allclose(both[:, stream], alone, rtol=1e-12)
    assert text.evaluate(NETWORK, params, TOKENS, window=7) == pytest.approx(-both.mean())


def test_the_sizes_of_gradients_are_those_of_a_loop(params):
    """Two streams, the first two of three windows."""
    tokens = TOKENS.T.ravel()[:37]
    windows = contiguous_windows(tokens, batch=2, length=6)
    carry, squares = [NETWORK.start(params)] * 2, jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def gradient_of(params, rows, carry):
        def loss(params):
            read = [by_hand(params, row, own) for row, own in zip(rows, carry, strict=True)]
            return sum(surprise.mean() for surprise, _ in read) / 2, [end for _, end in read]

        return jax.grad(loss, has_aux=True)(params)

    for inputs, targets in zip(windows.inputs[:2], windows.targets[:2], strict=True):
        rows = np.concatenate([inputs[:1], targets]).T
        gradient, carry = gradient_of(params, rows, carry)
        squares = jax.tree.map(lambda total, g: total + g**2, squares, gradient)
    expected = jax.tree.map(lambda total: jnp.sqrt(total / 2), squares)
    found = text.gradient_sizes(NETWORK, params, tokens, batch=2, window=6, most=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)


@pytest.mark.parametrize("rule", ["descent", "rms"])
def test_dynamic_evaluation_is_a_loop_that_measures_and_then_learns(params, rule):
    """47 predictions in windows of 6: the last window has 5, and is measured only."""
    eta, decay, epsilon, window, tokens = 0.3, 0.8, 1e-3, 6, TOKENS[:, 0]
    draw = jax.random.uniform(jax.random.key(3), (1000,), minval=0.01)
    sizes = jax.tree.map(lambda leaf: draw[: leaf.size].reshape(leaf.shape), params)
    mean = np.mean(np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(sizes)]))

    def moved(theta, first, g, size):
        if rule == "descent":
            return theta - eta * g + decay * (first - theta)
        back = np.minimum(1, decay * size / mean)
        return theta - eta * g / (size + epsilon) + back * (first - theta)

    @jax.jit
    def learn(params, tokens, carry):
        def loss(params):
            surprise, end = by_hand(params, tokens, carry)
            return surprise.mean(), (surprise, end)

        return jax.grad(loss, has_aux=True)(params)

    now, carry, total = params, NETWORK.start(params), 0.0
    for start in range(0, 47, window):
        gradient, (surprise, carry) = learn(now, tokens[start : start + window + 1], carry)
        total += math.fsum(surprise)
        now = jax.tree.map(moved, now, params, gradient, sizes)

    made = text.descent(eta, decay) if rule == "descent" else text.rms(eta, decay, sizes, epsilon)
    before = jax.tree.map(np.array, params)
    found = text.evaluate_dynamically(NETWORK, params, tokens, made, window)
    assert found == pytest.approx(total / 47, rel=1e-10)
    assert abs(found - text.evaluate(NETWORK, params, tokens)) > 0.01
    jax.tree.map(np.testing.assert_array_equal, before, params)


def test_rules_out_of_range():
    for make in (
        lambda: text.descent(0.0),
        lambda: text.descent(float("nan")),
        lambda: text.descent(1.0, decay=-0.1),
        lambda: text.rms(1.0, 1.1, sizes=None),
        lambda: text.rms(1.0, 0.1, sizes=None, epsilon=0.0),
        lambda: text.evaluate_dynamically(NETWORK, None, [1, 2], text.descent(1.0), window=0),
        lambda: text.gradient_sizes(NETWORK, None, [1, 2], most=0),
    ):
        with pytest.raises(InputError, match="give"):
            make()
