"""What every cell promises, over the table of cells."""

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from comparison import (
    Point,
    assert_close,
    leaves_differ,
    pull,
    random_point,
    random_probe,
    run,
)
from jax.test_util import check_grads
from tables import CELLS, FOLDS, ONE_OF_EACH, label, pairs

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, hoisted, rebuilt, scan, truncated

every_cell = pytest.mark.parametrize("cell", CELLS, ids=label)
one_of_each = pytest.mark.parametrize("cell", ONE_OF_EACH, ids=label)

instant = jax.jit(lambda cell, params, carry, x: cell(params, carry, x), static_argnums=0)


# Descriptions and parameters.


@every_cell
def test_description_is_a_value(cell):
    twin = dataclasses.replace(cell)
    assert twin is not cell and twin == cell and hash(twin) == hash(cell)
    assert dataclasses.replace(cell, input_size=17) != cell
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert copy.deepcopy(cell) == cell


@every_cell
def test_description_is_frozen(cell):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.input_size = 5


def test_repr_is_the_constructor_call():
    names = {"Identity": jaxrnn.initializers.Identity, "relu": jax.nn.relu, **vars(jaxrnn)}
    for cell in [
        jaxrnn.LSTM(3, 4),
        jaxrnn.LSTM(3, 4, forget_bias=2.5, use_bias=False),
        jaxrnn.GRU(3, 4, use_bias=False),
        jaxrnn.Elman(3, 4, activation=jax.nn.relu, recurrent_init=names["Identity"](0.5)),
    ]:
        assert eval(repr(cell), names) == cell
    assert repr(jaxrnn.LSTM(3, 4)) == "LSTM(input_size=3, hidden_size=4)"


@every_cell
def test_init_is_deterministic_and_as_specified(cell):
    params = cell.init(jax.random.key(3))
    again = cell.init(jax.random.key(3))
    other = cell.init(jax.random.key(4))
    specification = jax.eval_shape(cell.init, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(specification)
    for leaf, same, spec in zip(*map(jax.tree.leaves, (params, again, specification)), strict=True):
        assert (leaf == same).all()
        assert (leaf.shape, leaf.dtype) == (spec.shape, spec.dtype)
        assert leaf.dtype == jnp.float64 and not leaf.weak_type
    assert any(
        (a != b).any() for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)
    )


@every_cell
def test_no_two_leaves_share_a_buffer(cell):
    params = cell.init(jax.random.key(0))
    for batch in [(), (2,), (2, 3)]:
        assert leaves_differ((params, cell.initial_carry(batch), cell.start(params, batch)))


@every_cell
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_initial_carry_is_zero_and_has_the_batch_axes(cell, batch):
    for leaf in jax.tree.leaves(cell.initial_carry(batch)):
        assert leaf.shape[: len(batch)] == batch
        assert leaf.ndim == len(batch) + 1 and not leaf.any()


@every_cell
def test_output_size_is_the_width_of_y(cell):
    point = random_point(cell)
    assert run(cell, point)[1].shape == (5, 2, cell.output_size)


# The equations.


@every_cell
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_step_equals_the_oracle_for_three_instants(cell, batch):
    oracle = CELLS[cell]
    point = random_point(cell, seed=11, time=3, batch=batch)
    params, carry, xs = point
    numbers, expected, inputs = jax.tree.map(np.asarray, point)
    for x, x_number in zip(xs, inputs, strict=True):
        carry, y = instant(cell, params, carry, x)
        expected, expected_y = oracle(numbers, expected, x_number)
        assert_close((carry, y), (expected, expected_y))


@every_cell
def test_unroll_equals_the_oracle(cell):
    point = random_point(cell, seed=12, time=5)
    numbers = jax.tree.map(np.asarray, point)
    assert_close(run(cell, point), oracles.unroll(CELLS[cell], *numbers))


@every_cell
def test_calling_a_cell_is_project_and_step(cell):
    @jax.jit
    def project_all_then_step(point):
        drives = cell.project(point.params, point.xs)
        drive = jax.tree.map(lambda d: d[2], drives)
        return cell.step(point.params, point.carry, drive)

    point = random_point(cell, seed=13, time=3)
    assert_close(
        instant(cell, point.params, point.carry, point.xs[2]), project_all_then_step(point)
    )


@pytest.mark.parametrize("cell", [c for c in CELLS if isinstance(c, jaxrnn.ManualCell)], ids=label)
def test_forward_is_step(cell):
    @jax.jit
    def both(point):
        drive = cell.project(point.params, point.xs[0])
        forward = cell.forward(point.params, point.carry, drive)
        return forward[:2], cell.step(point.params, point.carry, drive)

    forward, step = both(random_point(cell, seed=14, time=1))
    assert_close(forward, step)


# Time.


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt, truncated(3, every=2)]))
def test_a_sequence_may_be_cut_anywhere(cell, fold):
    point = random_point(cell, seed=21, time=5)
    carry, ys = run(cell, point, fold=fold)
    for cut in (0, 2, 4, 5):
        first, before = run(cell, point._replace(xs=point.xs[:cut]), fold=fold)
        last, after = run(cell, Point(point.params, first, point.xs[cut:]), fold=fold)
        assert_close((last, jnp.concatenate([before, after])), (carry, ys))


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, FOLDS))
def test_no_instants_and_one(cell, fold):
    point = random_point(cell, seed=22, time=1)
    carry, ys = run(cell, point, fold=fold)
    assert_close((carry, ys[0]), instant(cell, point.params, point.carry, point.xs[0]))
    carry, ys = run(cell, point._replace(xs=point.xs[:0]), fold=fold)
    assert ys.shape == (0, 2, cell.output_size)
    assert_close(carry, point.carry, tolerance=0)


def test_no_instants_have_a_gradient():
    cell = jaxrnn.LSTM(3, 4)
    point = random_point(cell, time=0)
    for fold in (scan, bptt, truncated(2)):

        def loss(point, fold=fold):
            carry, ys = jaxrnn.unroll(cell, point.params, point.xs, point.carry, fold=fold)
            return ys.sum() + (carry.h * 3.0).sum()

        gradient = jax.grad(loss)(point)
        assert (gradient.carry.h == 3.0).all()
        assert not any(leaf.any() for leaf in jax.tree.leaves(gradient.params))


# Batch.


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt, truncated(3, every=2)]))
def test_batch_of_n_is_n_singles_and_vmap_is_the_batch_axis(cell, fold):
    point = random_point(cell, seed=31, batch=(3,))
    carry, ys = run(cell, point, fold=fold)
    for row in range(3):
        single = Point(
            point.params, jax.tree.map(lambda c, row=row: c[row], point.carry), point.xs[:, row]
        )
        got = run(cell, single, fold=fold)
        assert_close(got, (jax.tree.map(lambda c, row=row: c[row], carry), ys[:, row]))
    rows = Point(params=None, carry=0, xs=1)
    mapped = jax.jit(jax.vmap(functools.partial(run, cell, fold=fold), (rows,), (0, 1)))(point)
    assert_close(mapped, (carry, ys))


@one_of_each
def test_several_batch_axes_are_one_long_one(cell):
    point = random_point(cell, seed=32, batch=(2, 3))
    flat = Point(
        point.params,
        jax.tree.map(lambda c: c.reshape(6, *c.shape[2:]), point.carry),
        point.xs.reshape(5, 6, -1),
    )
    carry, ys = run(cell, point)
    flat_carry, flat_ys = run(cell, flat)
    assert_close(ys.reshape(5, 6, -1), flat_ys)
    assert_close(jax.tree.map(lambda c: c.reshape(6, *c.shape[2:]), carry), flat_carry)


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt]))
def test_vmap_over_parameters_is_an_ensemble(cell, fold):
    keys = jax.random.split(jax.random.key(5), 3)
    ensemble = jax.vmap(cell.init)(keys)
    xs = random_point(cell, seed=33).xs

    def loss(params):
        return (jaxrnn.unroll(cell, params, xs, fold=fold)[1] ** 3).sum()

    losses, gradients = jax.jit(jax.vmap(jax.value_and_grad(loss)))(ensemble)
    one_at_a_time = jax.jit(jax.value_and_grad(loss))
    for member, key in enumerate(keys):
        expected = one_at_a_time(cell.init(key))
        assert_close(jax.tree.map(lambda g, m=member: g[m], (losses, gradients)), expected)


# Derivatives.


@pytest.mark.parametrize("seed", [41, 44])
@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [bptt]))
def test_check_grads_of_bptt(cell, fold, seed):
    point = random_point(cell, seed=seed, time=4)
    check_grads(functools.partial(run, cell, fold=fold), (point,), order=1)


@pytest.mark.parametrize(
    ("cell", "fold"),
    [
        *pairs([jaxrnn.Elman(3, 4), jaxrnn.LSTM(3, 4)], [scan, bptt]),
        *pairs([jaxrnn.LSTM(3, 4)], [hoisted, rebuilt(2), checkpointed(2)]),
    ],
)
def test_check_grads_in_both_modes_to_second_order(cell, fold):
    point = random_point(cell, seed=42, time=3, batch=())
    check_grads(functools.partial(run, cell, fold=fold), (point,), order=2, modes=["fwd", "rev"])


# Numbers.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64], ids=label)
@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt, truncated(2)]))
def test_dtype_in_is_dtype_out(cell, fold, dtype):
    point = random_point(cell, time=3, dtype=dtype)

    def loss(params, xs):
        carry, ys = jaxrnn.unroll(cell, params, xs, fold=fold)
        return (ys.astype(jnp.float32) ** 2).sum(), (carry, ys)

    out = jax.eval_shape(jax.grad(loss, (0, 1), has_aux=True), point.params, point.xs)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(dtype)}
    start = cell.start(point.params, (2,))
    assert {leaf.dtype for leaf in jax.tree.leaves(start)} == {jnp.dtype(dtype)}
    step = jax.eval_shape(cell, point.params, start, point.xs[0])
    assert {leaf.dtype for leaf in jax.tree.leaves(step)} == {jnp.dtype(dtype)}


@one_of_each
def test_low_precision_is_near_high_precision(cell):
    point = random_point(cell, seed=51, time=4)
    exact = run(cell, point)
    for dtype, tolerance in [(jnp.float32, 1e-5), (jnp.bfloat16, 0.05)]:
        rough = run(cell, jax.tree.map(lambda x, d=dtype: x.astype(d), point))
        assert_close(
            jax.tree.map(lambda x: np.asarray(x, np.float64), rough), exact, tolerance=tolerance
        )


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt]))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_at_large_inputs(cell, fold, dtype):
    point = random_point(cell, seed=52, dtype=dtype)
    params = jax.tree.map(lambda p: p.astype(dtype), cell.init(jax.random.key(0)))
    large = Point(params, point.carry, (1e4 * point.xs).astype(dtype))
    assert abs(large.xs).max() > 1e4
    assert_finite(pull(cell, large, random_probe(cell, large), fold=fold))


@pytest.mark.parametrize(("cell", "fold"), pairs(ONE_OF_EACH, [scan, bptt, truncated(2)]))
def test_finite_after_ten_thousand_instants(cell, fold):
    point = random_point(cell, seed=53, time=10_000, batch=())
    point = point._replace(params=cell.init(jax.random.key(0)))
    values, gradient = pull(cell, point, random_probe(cell, point), fold=fold)
    assert_finite((values, gradient))
    assert all(leaf.any() for leaf in jax.tree.leaves(gradient.params))


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert np.isfinite(leaf).all()


# Tracing.

TRACES = []


@dataclasses.dataclass(frozen=True, repr=False)
class Counting(jaxrnn.Cell):
    """Tells how often its step was traced."""

    input_size: int

    def init(self, key):
        return jax.random.normal(key, (self.input_size,))

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.input_size))

    def step(self, params, carry, drive):
        TRACES.append(self)
        h = jnp.tanh(carry * jnp.broadcast_to(params, carry.shape) + drive)
        return h, h


@pytest.mark.parametrize("fold", [scan, truncated(2)], ids=label)
def test_an_equal_cell_is_not_traced_again(fold):
    width = 5
    params = Counting(width).init(jax.random.key(0))
    xs = random_point(Counting(width), time=4).xs
    again = {scan: scan}.get(fold, truncated(2))
    _ = jaxrnn.unroll(Counting(width), params, xs, fold=fold)
    traces = len(TRACES)
    assert traces > 0
    _ = jaxrnn.unroll(Counting(width), params, xs, fold=again)
    assert len(TRACES) == traces
    _ = jaxrnn.unroll(Counting(width), params, xs[:3], fold=again)
    assert len(TRACES) > traces


def test_a_second_call_compiles_nothing(compilations):
    def call(size):
        cell = jaxrnn.stack(jaxrnn.LSTM(size, 6), jaxrnn.GRU(6, 2))
        params = cell.init(jax.random.key(0))
        xs = jnp.asarray(np.ones((4, 3, size)))
        return jaxrnn.unroll(cell, params, xs)[1].block_until_ready()

    call(7)
    first = len(compilations)
    assert first > 0
    call(7)
    assert len(compilations) == first
    call(8)
    assert len(compilations) > first
