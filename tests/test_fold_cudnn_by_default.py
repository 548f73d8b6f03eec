"""Whether `automatic` takes cuDNN, with a stand-in for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_point, run, state_loss
from cudnn_stand_in import room
from jax.experimental import rnn

import jaxrnn
from jaxrnn.folds import automatic, scan
from jaxrnn.folds.cudnn import cudnn_agrees

TIME, ROWS = 5, 3
CELL = jaxrnn.LSTM(3, 4)
point_of = functools.partial(random_point, CELL, 0, time=TIME, batch=(ROWS,))


def gradient_by_default(point):
    def fold(*arguments):  # A name that nothing is cached for.
        return automatic(*arguments)

    return jax.jit(jax.grad(state_loss(CELL, fold)))(point)


def test_automatic_takes_it_once_it_has_been_seen_to_agree(stand_in):
    point = point_of()
    expected = jax.grad(state_loss(CELL, scan))(point)
    # Asked for the first time within a program that is being traced.
    assert_close(gradient_by_default(point), expected)
    assert cudnn_agrees()
    stand_in.backward_factor = 2.0
    assert_close(gradient_by_default(point), jax.tree.map(lambda d: 2 * d, expected))


def test_automatic_multiplies_vectors_where_cudnn_reads_them(stand_in):
    network = jaxrnn.stack(jaxrnn.Embedding(2, 3), CELL)
    params = network.init(jax.random.key(0))
    tokens = jnp.zeros((TIME, ROWS), jnp.int32)
    expected = jaxrnn.unroll(network, params, tokens, fold=scan)[1]
    assert cudnn_agrees()
    stand_in.forward_factor = 3.0
    assert_close(jaxrnn.unroll(network, params, tokens)[1] / 3, expected)


@pytest.mark.parametrize("wrong", ["forward_factor", "backward_factor"])
@pytest.mark.parametrize("factor", [1.05, np.nan])
def test_automatic_leaves_it_where_it_differs(stand_in, wrong, factor):
    setattr(stand_in, wrong, factor)
    point = point_of()
    with pytest.warns(
        RuntimeWarning, match=r"differs from `bptt` by (\d.*|nan) here, so `automatic`"
    ):
        found = gradient_by_default(point)
    assert_close(found, jax.grad(state_loss(CELL, scan))(point))
    assert_close(gradient_by_default(point), found)  # And is not warned of again.


def test_automatic_leaves_it_where_it_fails(stand_in, monkeypatch):
    def broken(*arguments):
        raise TypeError("another version")

    monkeypatch.setattr(rnn, "lstm_fwd", broken)
    with pytest.warns(RuntimeWarning, match="cuDNN's LSTM fails with TypeError: another version"):
        assert_close(automatic(CELL, *point_of()), run(CELL, point_of()))


def test_automatic_leaves_it_where_rows_may_lie_on_several_devices(stand_in, monkeypatch):
    stand_in.forward_factor = np.nan
    devices = jax.devices("cpu")[:1]
    monkeypatch.setattr(room, "_devices", lambda platform: devices * 2)
    assert_close(automatic(CELL, *point_of()), run(CELL, point_of()))
