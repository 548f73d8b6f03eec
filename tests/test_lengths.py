"""Ragged batches: every row as if it were alone and cut to its valid instants, gradients too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rows import LAYERS, NETWORKS, ROWS, TIME, pull_alone, pull_ragged, ragged_point

import jaxrnn
from jaxrnn.folds import bptt, scan, truncated

every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)

# The shapes stay the same, so that an example costs no compilation.
examples = settings(max_examples=6, derandomize=True, deadline=None, database=None)
row_lengths = st.lists(st.integers(0, TIME), min_size=ROWS, max_size=ROWS)
row_masks = st.lists(
    st.lists(st.booleans(), min_size=ROWS, max_size=ROWS), min_size=TIME, max_size=TIME
).map(np.array)
seeds = st.integers(0, 10_000)


def as_mask(lengths, time=TIME):
    return np.arange(time).reshape(-1, *(1,) * np.ndim(lengths)) < np.asarray(lengths)


def assert_as_alone(layer, fold, flags, valid, seed):
    point, probe = ragged_point(layer, valid, seed)
    values, gradients = pull_ragged(layer, point, probe, flags, fold=fold)
    expected_values, expected_gradients = pull_alone(layer, point, probe, valid)
    assert_close(values, expected_values)
    assert_close(gradients, expected_gradients)
    assert (np.asarray(values[1])[~valid] == 0).all()
    assert (np.asarray(gradients.xs)[~valid] == 0).all()


# Rows of every length, nothing at all and everything; padding on the left, and holes.
@every_layer
@examples
@given(valid=st.one_of(row_lengths.map(as_mask), row_masks), seed=seeds)
@example(valid=as_mask([0, TIME, 2]), seed=1)
@example(valid=as_mask([0] * ROWS), seed=2)
@example(valid=as_mask([TIME] * ROWS), seed=3)
def test_rows_are_as_alone(layer, valid, seed):
    assert_as_alone(layer, scan, {"mask": valid}, valid, seed)


@pytest.mark.parametrize("fold", [scan, bptt], ids=["scan", "bptt"])
@pytest.mark.parametrize("layer", [LAYERS["LSTM"], NETWORKS["bidirectional"]], ids=["cell", "both"])
@examples
@given(lengths=row_lengths, seed=seeds)
def test_lengths_say_which_instants_are_valid(layer, fold, lengths, seed):
    assert_as_alone(layer, fold, {"lengths": np.array(lengths)}, as_mask(lengths), seed)


HOLES = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0]], bool)


@pytest.mark.parametrize("fold", [truncated(2), truncated(3, every=2)], ids=repr)
def test_truncated_values_are_those_of_rows_alone(fold):
    layer = NETWORKS["bidirectional"]
    for valid in (as_mask([0, 2, 4]), HOLES):
        point, probe = ragged_point(layer, valid, seed=4)
        values, gradients = pull_ragged(layer, point, probe, {"mask": valid}, fold=fold)
        assert_close(values, pull_alone(layer, point, probe, valid)[0])
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
        assert (np.asarray(gradients.xs)[~valid] == 0).all()


def test_truncated_gradients_of_outputs_are_those_of_rows_cut_short():
    """Read forwards, the instants that a loss reaches are the same in a long and in a short row."""
    layer, lengths, fold = LAYERS["GRU"], [1, 3, 4], truncated(2)
    point, (d_carry, d_ys) = ragged_point(layer, as_mask(lengths), seed=5)
    d_carry = jax.tree.map(jnp.zeros_like, d_carry)
    _, gradients = pull_ragged(layer, point, (d_carry, d_ys), {"lengths": np.array(lengths)}, fold)
    d_params = jax.tree.map(jnp.zeros_like, point.params)
    for row, length in enumerate(lengths):
        alone = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], point.carry)
        cut = point._replace(carry=alone, xs=point.xs[:length, row : row + 1])
        probe = (
            jax.tree.map(jnp.zeros_like, alone),
            d_ys[:length, row : row + 1],
        )
        _, of_row = pull_ragged(layer, cut, probe, {}, fold)
        d_params = jax.tree.map(jnp.add, d_params, of_row.params)
        assert_close(gradients.xs[:length, row : row + 1], of_row.xs)
    assert_close(gradients.params, d_params)


# Shapes.


@pytest.mark.parametrize("name", ["LSTM", "bidirectional_stack"])
def test_several_batch_axes_and_none(name):
    layer = LAYERS[name]
    lengths = np.array([[0, 2, 4], [3, 1, 4]])
    point = random_point(layer, seed=6, time=TIME, batch=(2, 3))
    carry, ys = jaxrnn.unroll(layer, point.params, point.xs, point.carry, lengths=lengths)
    for place in np.ndindex(lengths.shape):
        alone = jaxrnn.unroll(
            layer,
            point.params,
            point.xs[:, *place],
            jax.tree.map(lambda leaf, place=place: leaf[place], point.carry),
            lengths=lengths[place],
        )
        assert_close((jax.tree.map(lambda leaf, p=place: leaf[p], carry), ys[:, *place]), alone)


@pytest.mark.parametrize("time_axis", [1, -2, 2, -1])
@pytest.mark.parametrize("square", [False, True])
def test_time_axis_stands_in_masks_and_outputs_as_in_xs(time_axis, square):
    layer = jaxrnn.bidirectional(jaxrnn.GRU(3, 4))
    rows = TIME if square else ROWS
    valid = np.random.default_rng(0).random((TIME, rows)) < 0.6
    resets = np.random.default_rng(1).random((TIME, rows)) < 0.3
    point = random_point(layer, seed=7, time=TIME, batch=(rows,))
    carry, ys = jaxrnn.unroll(layer, point.params, point.xs, mask=valid, resets=resets)
    moved = jaxrnn.unroll(
        layer,
        point.params,
        jnp.moveaxis(point.xs, 0, time_axis),
        mask=valid.T,
        resets=resets.T,
        time_axis=time_axis,
    )
    assert_close(moved, (carry, jnp.moveaxis(ys, 0, time_axis)))


def test_time_axis_of_tokens_may_be_counted_from_the_end():
    layer = jaxrnn.stack(jaxrnn.Embedding(7, 3), jaxrnn.GRU(3, 4))
    point = random_point(layer, seed=8, time=TIME, batch=(ROWS,))
    carry, ys = jaxrnn.unroll(layer, point.params, point.xs, lengths=[1, 4, 3])
    for time_axis in (1, -1):
        moved = jaxrnn.unroll(
            layer, point.params, point.xs.T, lengths=[1, 4, 3], time_axis=time_axis
        )
        assert_close(moved, (carry, jnp.swapaxes(ys, 0, 1)))


@pytest.mark.parametrize("fold", [scan, bptt, truncated(2)], ids=["scan", "bptt", "truncated"])
def test_no_instants_no_rows_and_one_instant(fold):
    layer = NETWORKS["bidirectional"]
    for time, rows in ((0, 2), (3, 0), (1, 2), (0, 0)):
        point = random_point(layer, seed=9, time=time, batch=(rows,))
        lengths = np.full(rows, time)
        resets = np.ones((time, rows), bool)
        carry, ys = jaxrnn.unroll(
            layer, point.params, point.xs, point.carry, lengths=lengths, resets=resets, fold=fold
        )
        assert ys.shape == (time, rows, 6)
        assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, point.carry)
        if time == 0:
            jax.tree.map(np.testing.assert_array_equal, carry, point.carry)


# Tokens.


def test_tokens_in_the_padding_may_be_garbage():
    layer = jaxrnn.stack(
        jaxrnn.Embedding(7, 3), jaxrnn.bidirectional(jaxrnn.LSTM(3, 4)), jaxrnn.Linear(8, 7)
    )
    point = random_point(layer, seed=10, time=TIME, batch=(ROWS,))
    lengths = jnp.array([2, 0, 4])
    garbage = jnp.where(jnp.arange(ROWS) % 2 == 0, -1, 10**6)
    dirty = jnp.where(as_mask(lengths), point.xs, garbage)

    def values(params, tokens):
        return jaxrnn.unroll(layer, params, tokens, lengths=lengths)

    (carry, ys), pullback = jax.vjp(lambda params: values(params, dirty), point.params)
    probe = random_like((carry, ys), seed=11)
    clean, clean_pullback = jax.vjp(lambda params: values(params, point.xs), point.params)
    assert_close((carry, ys), clean)
    assert_close(pullback(probe), clean_pullback(probe))
    assert_close(jax.jit(values)(point.params, dirty), clean)
    unused = ~np.isin(np.arange(7), np.asarray(point.xs)[as_mask(lengths)])
    assert unused.any()
    assert (np.asarray(pullback(probe)[0].layers[0].table)[unused] == 0).all()


def test_tokens_in_the_padding_touch_no_row_of_the_table():
    """Padding is read as token 0; that token's vector must not learn from it."""
    layer = jaxrnn.stack(jaxrnn.Embedding(7, 3), jaxrnn.GRU(3, 4))
    point = random_point(layer, seed=12, time=TIME, batch=(1,))
    tokens = jnp.full((TIME, 1), 3)

    def loss(params):
        carry, ys = jaxrnn.unroll(layer, params, tokens, lengths=[2])
        return (ys**2).sum() + (carry.layers[1].h ** 2).sum()

    d_table = np.asarray(jax.grad(loss)(point.params).layers[0].table)
    assert (d_table[3] != 0).all()
    assert (np.delete(d_table, 3, axis=0) == 0).all()


# Transformations.


@pytest.mark.parametrize("name", ["LSTM", "bidirectional", "learned_carry"])
def test_vmap_over_rows_is_the_batch_axis(name):
    layer, lengths = LAYERS[name], jnp.array([0, 3, 4])
    point, _ = ragged_point(layer, as_mask(lengths), seed=13)
    resets = jnp.asarray(np.random.default_rng(2).random((TIME, ROWS)) < 0.3)

    def one_row(carry, xs, length, resets):
        return jaxrnn.unroll(
            layer, point.params, xs, carry, lengths=length, resets=resets, fold=scan
        )

    mapped = jax.vmap(one_row, in_axes=(0, 1, 0, 1), out_axes=(0, 1))
    together = jaxrnn.unroll(
        layer, point.params, point.xs, point.carry, lengths=lengths, resets=resets
    )
    assert_close(mapped(point.carry, point.xs, lengths, resets), together)
    assert_close(jax.jit(mapped)(point.carry, point.xs, lengths, resets), together)


@pytest.mark.parametrize("fold", [scan, bptt], ids=["scan", "bptt"])
def test_value_and_grad_under_jit_with_lengths_known_and_unknown(fold):
    layer, lengths = LAYERS["GRU"], jnp.array([0, 3, 4])
    point, _ = ragged_point(layer, as_mask(lengths), seed=14)

    def loss(params, xs, lengths):
        return (jaxrnn.unroll(layer, params, xs, lengths=lengths, fold=fold)[1] ** 2).sum()

    expected = jax.value_and_grad(loss, (0, 1))(point.params, point.xs, lengths)
    unknown = jax.jit(jax.value_and_grad(loss, (0, 1)))(point.params, point.xs, lengths)
    known = jax.jit(jax.value_and_grad(functools.partial(loss, lengths=lengths), (0, 1)))
    assert_close(unknown, expected)
    assert_close(known(point.params, point.xs), expected)
    assert (expected[1][1][3:, 1] == 0).all()


def test_known_lengths_are_checked_inside_jit_too():
    cell = jaxrnn.GRU(3, 4)
    params = cell.init(jax.random.key(0))
    for lengths in ([1, 6, 2], np.array([1, 6, 2]), jnp.array([1, 6, 2])):
        with pytest.raises(ValueError, match="lengths run from 1 to 6; expected 0 to 5"):
            jax.jit(lambda xs, n=lengths: jaxrnn.unroll(cell, params, xs, lengths=n))(
                jnp.zeros((5, 3, 3))
            )


# Memory.


def scans_in(jaxpr):
    """Every scan, wherever it stands."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for value in equation.params.values():
            for inner in jax.tree.leaves(value, is_leaf=lambda v: hasattr(v, "eqns")):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from scans_in(inner)


@pytest.mark.parametrize("fold", [scan, bptt], ids=["scan", "bptt"])
def test_no_history_of_carries_is_kept_for_the_last_valid_one(fold):
    """flax keeps every carry to pick the last valid ones; here the carry stands still."""
    layer = jaxrnn.bidirectional(jaxrnn.LSTM(3, 16), jaxrnn.LSTM(3, 16))
    point = random_point(layer, seed=15, time=50, batch=(ROWS,))

    def ragged(lengths):
        return jaxrnn.unroll(layer, point.params, point.xs, lengths=lengths, fold=fold)

    scans = list(scans_in(jax.make_jaxpr(ragged)(jnp.array([1, 2, 3])).jaxpr))
    assert len(scans) == 2
    for equation in scans:
        stacked = equation.outvars[equation.params["num_carry"] :]
        assert [variable.aval.shape for variable in stacked] == [(50, ROWS, 16)]  # ys alone
