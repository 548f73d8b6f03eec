"""Resets: a row begins anew, as if the sequence were cut there; both ways, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_point
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rows import LAYERS, ROWS, TIME, folds_of, pull_alone, pull_ragged, ragged_point

import jaxrnn
from jaxrnn.folds import bptt, scan, truncated

every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
examples = settings(max_examples=6, derandomize=True, deadline=None, database=None)
flags = st.lists(
    st.lists(st.booleans(), min_size=ROWS, max_size=ROWS), min_size=TIME, max_size=TIME
).map(np.array)
seeds = st.integers(0, 10_000)
ALL = np.ones((TIME, ROWS), bool)


def assert_as_cut(layer, fold, valid, resets, seed):
    point, probe = ragged_point(layer, valid, seed)
    context = {"resets": resets} | ({} if valid.all() else {"mask": valid})
    values, gradients = pull_ragged(layer, point, probe, context, fold=fold)
    expected_values, expected_gradients = pull_alone(layer, point, probe, valid, resets)
    assert_close(values, expected_values)
    assert_close(gradients, expected_gradients)
    assert (np.asarray(gradients.xs)[~valid] == 0).all()


# Resets on instants that are not valid are among the examples, and count for nothing.
@every_layer
@examples
@given(valid=flags, resets=flags, seed=seeds)
@example(valid=np.arange(TIME)[:, None] < [1, 2, 3], resets=ALL, seed=1)
@example(valid=np.arange(TIME)[:, None] >= [1, 2, 3], resets=ALL, seed=2)
def test_rows_are_as_cut_before_each_reset(layer, valid, resets, seed):
    valid[0, 0] &= not valid.all()  # A full mask would be another program.
    assert_as_cut(layer, folds_of(layer)[-1], valid, resets, seed)


@pytest.mark.parametrize("fold", [scan, bptt], ids=["scan", "bptt"])
@pytest.mark.parametrize("name", ["GRU", "bidirectional", "learned_carry"])
@examples
@given(resets=flags, seed=seeds)
@example(resets=ALL, seed=1)
@example(resets=~ALL, seed=2)
def test_full_rows_are_as_cut_before_each_reset(name, fold, resets, seed):
    assert_as_cut(LAYERS[name], fold, ALL, resets, seed)


@pytest.mark.parametrize("name", ["LSTM", "bidirectional", "reverse"])
def test_truncated_values_are_those_of_scan(name):
    layer = LAYERS[name]
    rng = np.random.default_rng(1)
    resets, valid = (rng.random((TIME, ROWS)) < 0.5 for _ in range(2))
    point, probe = ragged_point(layer, valid, seed=3)
    context = {"mask": valid, "resets": resets}
    values, gradients = pull_ragged(layer, point, probe, context, fold=truncated(2))
    assert_close(values, pull_alone(layer, point, probe, valid, resets)[0])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_reset_at_the_first_instant_drops_the_given_carry():
    cell = jaxrnn.LSTM(3, 4)
    point = random_point(cell, time=TIME, batch=(2,))
    resets = jnp.zeros((TIME, 2), bool).at[0, 0].set(True)
    carry, ys = jaxrnn.unroll(cell, point.params, point.xs, point.carry, resets=resets)
    started = jaxrnn.unroll(cell, point.params, point.xs)
    given_carry = jaxrnn.unroll(cell, point.params, point.xs, point.carry)
    assert_close(ys[:, 0], started[1][:, 0])
    assert_close(ys[:, 1], given_carry[1][:, 1])
    assert_close(carry.c[0], started[0].c[0])


def test_packed_documents_are_the_documents():
    """The use it is made for: three documents in one row, each as if it had a row of its own."""
    network = jaxrnn.stack(
        jaxrnn.Embedding(9, 4), jaxrnn.bidirectional(jaxrnn.LSTM(4, 3)), jaxrnn.Linear(6, 9)
    )
    params = random_point(network, seed=5).params
    tokens = jnp.asarray(np.random.default_rng(6).integers(9, size=7))
    resets = jnp.zeros(7, bool).at[jnp.array([0, 2, 3])].set(True)
    _, packed = jaxrnn.unroll(network, params, tokens, resets=resets)
    pieces = [jaxrnn.unroll(network, params, tokens[a:b])[1] for a, b in ((0, 2), (2, 3), (3, 7))]
    assert_close(packed, jnp.concatenate(pieces))


def test_a_reset_lets_no_gradient_through():
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell, time=TIME, batch=())
    for fold in (scan, bptt, truncated(2)):

        def late_loss(xs, fold=fold):
            resets = jnp.zeros(TIME, bool).at[2].set(True)
            return (
                jaxrnn.unroll(cell, point.params, xs, resets=resets, fold=fold)[1][2:] ** 2
            ).sum()

        d_xs = jax.grad(late_loss)(point.xs)
        assert (d_xs[:2] == 0).all() and (d_xs[2:] != 0).all()


@pytest.mark.parametrize("fold", [scan, bptt], ids=["scan", "bptt"])
def test_a_learned_start_learns_from_every_reset(fold):
    """With a reset at every instant, every instant is the first one of a sequence."""
    network = jaxrnn.learned_carry(jaxrnn.GRU(3, 4))
    point = random_point(network, seed=7, time=TIME, batch=(ROWS,))

    def loss(params, xs, resets):
        return (jaxrnn.unroll(network, params, xs, resets=resets, fold=fold)[1] ** 2).sum()

    at_every_instant = jax.grad(loss)(point.params, point.xs, jnp.asarray(ALL))
    alone = jax.grad(loss)(
        point.params, point.xs.reshape(1, -1, 3), jnp.zeros((1, TIME * ROWS), bool)
    )
    assert_close(at_every_instant, alone)


def test_a_learned_start_learns_through_every_window_of_truncated():
    network = jaxrnn.learned_carry(jaxrnn.LSTM(3, 4))
    params = network.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (6, 2, 3))
    resets = jnp.zeros((6, 2), bool).at[4].set(True)

    def start_gradient(fold):
        def loss(params):
            carry = network.initial_carry((2,))  # Only the reset reads the start.
            ys = jaxrnn.unroll(network, params, xs, carry, resets=resets, fold=fold)[1]
            return jnp.square(ys).sum()

        return jax.grad(loss)(params).start

    # Instants 4 and 5 follow the reset, so two steps back see all there is to see.
    want = start_gradient(jaxrnn.folds.scan)
    assert float(jnp.abs(want.h).max()) > 0.01
    for got, wanted in zip(
        jax.tree.leaves(start_gradient(jaxrnn.folds.truncated(2))),
        jax.tree.leaves(want),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
