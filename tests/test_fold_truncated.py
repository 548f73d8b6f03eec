"""Truncated backpropagation through time: values of `scan`, and the gradient as defined."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import (
    Point,
    assert_close,
    assert_same_values_and_gradients,
    pull,
    random_like,
    random_point,
    random_probe,
    run,
)
from tables import FOLDS, ONE_OF_EACH, Leaky, label, pairs

import jaxrnn
from jaxrnn.folds import scan, truncated

one_of_each = pytest.mark.parametrize("cell", ONE_OF_EACH, ids=label)


@pytest.mark.parametrize(
    ("cell", "fold"), pairs(ONE_OF_EACH, [f for f, exact in FOLDS.items() if not exact])
)
def test_truncated_values_are_those_of_scan(cell, fold):
    for time in (2, 7):
        point = random_point(cell, seed=2, time=time)
        assert_close(run(cell, point, fold=fold), run(cell, point))


def brute_force(cell, point, probe, steps, every):
    """The gradient loss by loss: each through the instants of its window only.

    The loss at t shares a window with the others of its group of `every`; the window ends with the
    group, and the carry before it is a constant, unless it is the initial one.
    """
    d_carry, d_ys = probe
    length = len(point.xs)
    total = jax.tree.map(np.zeros_like, point)
    carries = [point.carry]
    for x in point.xs:
        carries.append(run(cell, Point(point.params, carries[-1], x[None]))[0])
    for t in range(length):
        group_end = (t // every + 1) * every
        begin = max(group_end - steps, 0)
        window = Point(point.params, carries[begin], point.xs[begin : t + 1])
        only_t = d_ys[begin : t + 1].at[:-1].set(0.0)
        last = jax.tree.map(lambda d, t=t: d * (t == length - 1), d_carry)
        gradient = pull(cell, window, (last, only_t))[1]
        total = Point(
            params=jax.tree.map(np.add, total.params, gradient.params),
            carry=jax.tree.map(np.add, total.carry, gradient.carry) if begin == 0 else total.carry,
            xs=total.xs + np.zeros_like(total.xs),
        )
        total.xs[begin : t + 1] += gradient.xs
    return total


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 1), (2, 1), (4, 1), (6, 1), (2, 2), (3, 2), (5, 3), (4, 4)]
)
@pytest.mark.parametrize("cell", [jaxrnn.LSTM(3, 4)], ids=label)
def test_truncated_is_its_definition(cell, steps, every):
    point = random_point(cell, seed=9, time=7, batch=())
    probe = random_probe(cell, point)
    gradient = pull(cell, point, probe, fold=truncated(steps, every))[1]
    assert_close(gradient, brute_force(cell, point, probe, steps, every))


@one_of_each
@pytest.mark.parametrize("steps", [7])
def test_truncated_to_the_whole_length_is_scan(cell, steps):
    point = random_point(cell, seed=10, time=7)
    assert_same_values_and_gradients(cell, point, truncated(steps))


@pytest.mark.parametrize("cell", [jaxrnn.GRU(3, 4), Leaky(3)], ids=label)
@pytest.mark.parametrize("time", [6, 7])
def test_truncated_chunks_are_stopped_gradients_between_chunks(cell, time):
    def chunks(cell, params, carry, xs):
        ys = []
        for begin in range(0, len(xs), 3):
            carry = carry if begin == 0 else jax.lax.stop_gradient(carry)
            carry, chunk = scan(cell, params, carry, xs[begin : begin + 3])
            ys.append(chunk)
        return carry, jnp.concatenate(ys)

    point = random_point(cell, seed=11, time=time)
    assert_same_values_and_gradients(cell, point, truncated(3, every=3), reference=chunks)


def test_truncated_cuts_something():
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell, seed=12, time=7)
    for fold in (truncated(6), truncated(3, every=3)):
        with pytest.raises(AssertionError, match="differs"):
            assert_same_values_and_gradients(cell, point, fold)


def test_truncated_keeps_forward_mode_and_truncates_it_likewise():
    cell = jaxrnn.Elman(2, 3)
    point = random_point(cell, seed=13, time=5, batch=())
    direction = random_like(point, 14)
    probe = random_probe(cell, point)
    fold = truncated(2)
    _, forward = jax.jvp(functools.partial(run, cell, fold=fold), (point,), (direction,))
    gradient = pull(cell, point, probe, fold=fold)[1]

    def inner(a, b):
        return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b)))

    np.testing.assert_allclose(inner(probe, forward), inner(gradient, direction), rtol=1e-12)
