"""All states on request: every layer and instant, h, c and gates; and the last output only."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point
from rows import NETWORKS
from tables import ONE_OF_EACH, label

import jaxrnn
from jaxrnn.folds import bptt, truncated

TIME, ROWS = 4, 3
LENGTHS = np.array([2, 0, 4])

one_of_each = pytest.mark.parametrize("cell", ONE_OF_EACH, ids=label)


def by_hand(cell, params, carry, xs, valid, starts=None, resets=None):
    """Row by row and instant by instant: carries and gates, zero where nothing happens."""
    step = jax.jit(
        lambda carry, x: (
            cell(params, carry, x),
            cell.inspect(params, carry, cell.project(params, x)),
        )
    )
    shapes = jax.eval_shape(
        step, jax.tree.map(lambda c: c[0], carry), jax.ShapeDtypeStruct(xs.shape[2:], xs.dtype)
    )
    (carry_spec, y_spec), gates_spec = shapes
    record = jax.tree.map(
        lambda spec: np.zeros((TIME, ROWS, *spec.shape)), ((carry_spec, gates_spec), y_spec)
    )
    for row in range(ROWS):
        own = jax.tree.map(lambda leaf, row=row: leaf[row], carry)
        for t in range(TIME):
            if not valid[t, row]:
                continue
            if resets is not None and resets[t, row]:
                own = starts
            (own, y), gates = step(own, xs[t, row])
            made = jax.tree.leaves(((own, gates), y))
            for leaf, value in zip(jax.tree.leaves(record), made, strict=True):
                leaf[t, row] = value
    (carries, gates), ys = record
    return carries, gates, ys


@one_of_each
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_history_is_that_of_stepping_by_hand(cell, backward):
    layer = jaxrnn.reverse(cell) if backward else cell
    point = random_point(cell, seed=1, time=TIME, batch=(ROWS,))
    valid = np.arange(TIME)[:, None] < LENGTHS
    history, ys = jaxrnn.unroll_history(layer, point.params, point.xs, point.carry, lengths=LENGTHS)
    turn = (lambda leaf: np.flip(leaf, axis=0)) if backward else (lambda leaf: leaf)
    expected = by_hand(cell, point.params, point.carry, turn(point.xs), turn(valid))
    assert_close((history.carry, history.gates, ys), jax.tree.map(turn, expected))
    gated = isinstance(cell, jaxrnn.GatedCell)
    assert history.gates._fields if gated else history.gates == ()


def test_gates_by_name_explain_the_carry():
    cell = jaxrnn.LSTM(3, 4)
    point = random_point(cell, seed=2, time=TIME, batch=(ROWS,))
    history, ys = jaxrnn.unroll_history(cell, point.params, point.xs, point.carry)
    (i, f, g, o), c = history.gates, history.carry.c
    before = jnp.concatenate([point.carry.c[None], c[:-1]])
    assert_close(c, f * before + i * g)
    assert_close(ys, o * jnp.tanh(c))


def test_every_layer_and_direction_is_in_the_history():
    network = jaxrnn.stack(
        jaxrnn.Linear(3, 4),
        jaxrnn.bidirectional(jaxrnn.LSTM(4, 2), jaxrnn.GRU(4, 3)),
        jaxrnn.learned_carry(jaxrnn.residual(jaxrnn.Elman(5, 5))),
    )
    point = random_point(network, seed=3, time=TIME, batch=(ROWS,))
    valid = np.arange(TIME)[:, None] < LENGTHS
    history, ys = jaxrnn.unroll_history(
        network, point.params, point.xs, point.carry, lengths=LENGTHS
    )
    linear, both, top = point.params.layers
    xs = point.xs @ linear.kernel + linear.bias[None, None]
    carries = point.carry.layers
    forward = by_hand(jaxrnn.LSTM(4, 2), both.forward, carries[1].forward, xs, valid)
    backward = by_hand(jaxrnn.GRU(4, 3), both.backward, carries[1].backward, xs[::-1], valid[::-1])
    backward = jax.tree.map(lambda leaf: leaf[::-1], backward)
    xs = jnp.concatenate([forward[2], backward[2]], axis=-1)
    upper = by_hand(jaxrnn.Elman(5, 5), top.layer, carries[2], xs, valid)
    assert history.layers[0] == ()
    assert_close(tuple(history.layers[1].forward), forward[:2])
    assert_close(tuple(history.layers[1].backward), backward[:2])
    assert_close(tuple(history.layers[2]), upper[:2])
    assert_close(ys, xs + upper[2])


def test_history_with_resets_and_holes():
    cell = jaxrnn.LSTM(3, 4)
    rng = np.random.default_rng(4)
    valid, resets = rng.random((TIME, ROWS)) < 0.7, rng.random((TIME, ROWS)) < 0.5
    point = random_point(cell, seed=5, time=TIME, batch=(ROWS,))
    history, ys = jaxrnn.unroll_history(
        cell, point.params, point.xs, point.carry, mask=valid, resets=resets
    )
    start = cell.start(point.params)
    expected = by_hand(cell, point.params, point.carry, point.xs, valid, start, resets)
    assert_close((history.carry, history.gates, ys), expected)


@pytest.mark.parametrize("name", ["stack", "bidirectional_stack", "reverse_of_reverse"])
def test_history_changes_nothing_else(name):
    layer = NETWORKS[name]
    point = random_point(layer, seed=6, time=TIME, batch=(ROWS,))
    _, ys = jaxrnn.unroll(layer, point.params, point.xs, point.carry, lengths=LENGTHS)
    history, same = jaxrnn.unroll_history(
        layer, point.params, jnp.swapaxes(point.xs, 0, 1), point.carry, lengths=LENGTHS, time_axis=1
    )
    assert_close(jnp.swapaxes(same, 0, 1), ys)
    assert all(leaf.shape[:2] == (ROWS, TIME) for leaf in jax.tree.leaves(history))


def test_the_noise_is_that_of_unroll():
    cell = jaxrnn.Zoneout(jaxrnn.UpdateDropout(jaxrnn.LSTM(3, 4), 0.5, per_step=True), 0.5, 0.5)
    point = random_point(cell, seed=7, time=TIME, batch=(ROWS,))
    history, ys = jaxrnn.unroll_history(cell, point.params, point.xs, key=jax.random.key(1))
    carry, same = jaxrnn.unroll(cell, point.params, point.xs, key=jax.random.key(1))
    assert_close((jax.tree.map(lambda leaf: leaf[-1], history.carry), ys), (carry, same))
    dropped = np.asarray(history.gates.g) == 0
    assert 0.2 < dropped.mean() < 0.8


def test_history_is_differentiable_and_its_gradient_that_of_outputs():
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell, seed=8, time=TIME, batch=(ROWS,))

    def by_history(params, fold):
        return (jaxrnn.unroll_history(cell, params, point.xs, fold=fold)[0].carry.h ** 2).sum()

    def by_outputs(params, fold):
        return (jaxrnn.unroll(cell, params, point.xs, fold=fold)[1] ** 2).sum()

    for fold in (jaxrnn.folds.scan, truncated(2)):
        assert_close(
            jax.grad(by_history)(point.params, fold), jax.grad(by_outputs)(point.params, fold)
        )


def test_history_under_bptt_is_refused():
    cell = jaxrnn.LSTM(3, 4)
    params = cell.init(jax.random.key(0))
    for lengths in (None, [1, 2]):
        with pytest.raises(
            TypeError, match="unroll_history: `bptt` and `rebuilt` keep.* use the fold `scan`"
        ):
            jaxrnn.unroll_history(cell, params, jnp.ones((3, 2, 3)), lengths=lengths, fold=bptt)


# The last output only.


@pytest.mark.parametrize("name", ["stack", "bidirectional", "reverse"])
@pytest.mark.parametrize("fold", [jaxrnn.folds.scan, bptt], ids=label)
def test_last_output_is_that_of_the_last_valid_instant(name, fold):
    layer = NETWORKS[name]
    point = random_point(layer, seed=9, time=TIME, batch=(ROWS,))
    unroll = functools.partial(jaxrnn.unroll, layer, point.params, point.xs, point.carry, fold=fold)
    last = functools.partial(
        jaxrnn.unroll_last, layer, point.params, point.xs, point.carry, fold=fold
    )
    carry, ys = unroll()
    assert_close(last(), (carry, ys[-1]))

    carry, ys = unroll(lengths=LENGTHS)
    assert_close(last(lengths=LENGTHS), (carry, jnp.stack([ys[1, 0], 0 * ys[0, 0], ys[3, 2]])))

    mask = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    carry, ys = unroll(mask=mask)
    assert_close(last(mask=mask), (carry, jnp.stack([ys[2, 0], ys[2, 1], 0 * ys[0, 0]])))


def test_last_output_with_time_on_another_axis_unbatched_and_of_nothing():
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell, seed=10, time=TIME, batch=(ROWS,))
    mask = np.random.default_rng(11).random((TIME, ROWS)) < 0.5
    expected = jaxrnn.unroll_last(cell, point.params, point.xs, mask=mask)
    for time_axis in (1, -2):
        moved = jaxrnn.unroll_last(
            cell, point.params, jnp.swapaxes(point.xs, 0, 1), mask=mask.T, time_axis=time_axis
        )
        assert_close(moved, expected)
    alone = jaxrnn.unroll_last(cell, point.params, point.xs[:, 0], mask=mask[:, 0])
    assert_close(alone, jax.tree.map(lambda leaf: leaf[0], expected))
    _, nothing = jaxrnn.unroll_last(cell, point.params, point.xs[:0], lengths=[0, 0, 0])
    assert nothing.shape == (ROWS, 4) and (nothing == 0).all()


def test_gradients_of_the_last_output_reach_valid_instants_only():
    cell = jaxrnn.LSTM(3, 4)
    point = random_point(cell, seed=12, time=TIME, batch=(ROWS,))
    xs = jnp.where((np.arange(TIME)[:, None] < LENGTHS)[..., None], point.xs, jnp.nan)
    probe = random_like(jax.ShapeDtypeStruct((ROWS, 4), float), seed=13)

    def loss(xs):
        return (probe * jaxrnn.unroll_last(cell, point.params, xs, lengths=LENGTHS)[1]).sum()

    reached = np.asarray(jax.jit(jax.grad(loss))(xs) != 0)
    np.testing.assert_array_equal(reached.all(axis=-1), np.arange(TIME)[:, None] < LENGTHS)
    np.testing.assert_array_equal(reached.any(axis=-1), reached.all(axis=-1))
