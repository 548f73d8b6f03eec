"""Cells side by side are the cells one after the other."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import Point, assert_close, random_like, random_point, random_probe
from tables import ONE_OF_EACH, Leaky, label, pairs

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, hoisted, rebuilt, scan, truncated
from jaxrnn.wrappers import SideBySide

BOTH = jaxrnn.bidirectional(jaxrnn.LSTM(3, 4))


def values(layer, point, fold=scan, **options):
    return jaxrnn.unroll(layer, point.params, point.xs, point.carry, fold=fold, **options)


def apart(network, point, fold=scan):
    """Forward, then backward: a mask that leaves nothing out takes each direction by itself."""
    valid = jnp.ones(point.xs.shape[:-1], bool)
    return values(network, point, fold, mask=valid)


def pulled(run, point, probe):
    out, pull = jax.vjp(run, point)
    return out, pull(probe)


def loops(run, *args):
    """How many loops a program has."""
    return len(re.findall(r"\bscan\[", str(jax.make_jaxpr(run)(*args))))


# The room.


@pytest.mark.parametrize("batch", [(), (2,), (2, 1)], ids=str)
@pytest.mark.parametrize("cell", [jaxrnn.LSTM(3, 4), Leaky(3)], ids=label)
def test_copies_are_cells_of_their_own(cell, batch):
    """Of any number, over any batch axes; as a layer of its own, checks and all."""
    copies = SideBySide(cell, 3, batch_axes=len(batch))
    params, carry, xs = point = random_point(copies, seed=1, batch=(3, *batch))
    last, ys = values(copies, point)
    for n, own in enumerate(params):
        alone = Point(own, jax.tree.map(lambda leaf, n=n: leaf[n], carry), xs[:, n])
        got = (jax.tree.map(lambda leaf, n=n: leaf[n], last), ys[:, n])
        assert_close(got, values(cell, alone))


def test_copies_are_drawn_and_begin_as_cells_do():
    cell = jaxrnn.LSTM(3, 4)
    copies = SideBySide(cell, 2, batch_axes=1)
    one, other = copies.init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, cell.init(jax.random.key(0)))
    assert (one.recurrent_kernel != other.recurrent_kernel).any()
    assert copies.initial_carry((2, 5)).h.shape == (2, 5, 4)
    assert copies.input_size == 3


@dataclasses.dataclass(frozen=True, repr=False)
class Sum(jaxrnn.ManualCell):
    """Nothing to learn, nothing to keep."""

    input_size: int

    def init(self, key):
        return ()

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.input_size))

    def step(self, params, carry, drive):
        return carry + drive, carry + drive

    def forward(self, params, carry, drive):
        return *self.step(params, carry, drive), ()

    def backward(self, params, residual, d_carry, d_y):
        return d_carry + d_y, d_carry + d_y

    def gradients(self, params, xs, residuals, d_drives):
        return (), d_drives


# Both directions.


@pytest.mark.parametrize(
    ("cell", "fold"),
    pairs((*ONE_OF_EACH, Sum(3)), [scan, bptt])
    + pairs([jaxrnn.GRU(3, 4)], [hoisted, rebuilt(3), checkpointed(3), truncated(3, every=2)]),
)
def test_one_loop_is_two(cell, fold):
    network = jaxrnn.bidirectional(cell)
    point = random_point(network, seed=2)
    probe = random_probe(network, point)
    at_once, one_by_one = (functools.partial(f, network, fold=fold) for f in (values, apart))
    got = jax.jit(functools.partial(pulled, at_once))(point, probe)
    assert_close(got, jax.jit(functools.partial(pulled, one_by_one))(point, probe))


def test_no_instants_have_a_gradient():
    point = random_point(BOTH, seed=2, time=0)
    probe = random_probe(BOTH, point)
    (carry, ys), (slope,) = pulled(functools.partial(values, BOTH, fold=bptt), point, probe)
    assert ys.shape == (0, 2, 8)
    assert_close((carry, slope.carry), (point.carry, probe[0]), tolerance=0)


@pytest.mark.parametrize("fold", [automatic, scan], ids=label)
@pytest.mark.parametrize("cell", [jaxrnn.GRU(3, 4), Leaky(3)], ids=label)
def test_under_jvp_vmap_and_second_order(cell, fold):
    network = jaxrnn.bidirectional(cell)
    point = random_point(network, seed=3, time=4)
    along = random_like(point, 4)

    def curvature(run, point, along):
        def slope(point):
            def loss(point):
                carry, ys = run(network, point, fold)
                return (ys**3).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(carry))

            return jax.grad(loss)(point)

        return jax.jvp(slope, (point,), (along,))

    two = jax.tree.map(lambda a, b: jnp.stack([a, a + b]), point, along)
    many = [jax.jit(jax.vmap(functools.partial(curvature, f))) for f in (values, apart)]
    assert_close(many[0](two, two), many[1](two, two), tolerance=1e-11)


LSTM = jaxrnn.LSTM(3, 4)
SMALL, LARGE = random_point(BOTH, seed=5), random_point(BOTH, seed=5, batch=(4,))
WIDE = jaxrnn.bidirectional(jaxrnn.Elman(3, 129))


@pytest.mark.parametrize(
    ("network", "point", "options", "expected"),
    [
        (BOTH, SMALL, {}, 1),
        (BOTH, SMALL, {"key": jax.random.key(0)}, 1),
        (BOTH, LARGE, {}, 2),
        (WIDE, random_point(WIDE, batch=()), {}, 2),
        (BOTH, SMALL, {"lengths": np.array([5, 3])}, 2),
        (BOTH, SMALL, {"resets": np.zeros((5, 2), bool)}, 2),
        (jaxrnn.bidirectional(LSTM, jaxrnn.LSTM(3, 4, forget_bias=0.0)), SMALL, {}, 2),
        (jaxrnn.bidirectional(jaxrnn.Zoneout(LSTM, 0.5)), SMALL, {"key": jax.random.key(0)}, 2),
        (jaxrnn.bidirectional(jaxrnn.stack(LSTM)), None, {}, 2),
        (jaxrnn.bidirectional(jaxrnn.Linear(3, 4)), None, {}, 0),
    ],
    ids=str,
)
def test_where_both_share_a_loop(network, point, options, expected):
    point = point or random_point(network)
    assert loops(functools.partial(values, network, **options), point) == expected


def test_history_has_a_loop_for_each_direction():
    def run(point):
        return jaxrnn.unroll_history(BOTH, point.params, point.xs, point.carry)

    assert loops(run, SMALL) == 2


@pytest.mark.parametrize("rows", [3, 4])
def test_either_side_of_the_border_is_two_runs(rows):
    point = random_point(BOTH, seed=6, batch=(rows,))
    params, carry, xs = point
    forward, ys = values(LSTM, Point(params.forward, carry.forward, xs))
    backward, reversed_ys = values(LSTM, Point(params.backward, carry.backward, xs[::-1]))
    expected = (type(carry)(forward, backward), jnp.concatenate([ys, reversed_ys[::-1]], axis=-1))
    assert_close(values(BOTH, point), expected)


def test_dtype_of_every_output_is_that_of_the_inputs():
    for dtype in (jnp.bfloat16, jnp.float32):
        out = values(BOTH, random_point(BOTH, dtype=dtype))
        assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(dtype)}


def test_directions_that_differ_in_dtype_are_told_apart():
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), SMALL.params.backward)
    params = SMALL.params._replace(backward=narrow)
    with pytest.raises(TypeError, match="xs has dtype float64 but the parameters have float32"):
        values(BOTH, SMALL._replace(params=params, carry=None))


def test_a_cell_that_fails_is_named_as_it_was_written():
    class Broken(Leaky):
        def step(self, params, carry, drive):
            if drive.ndim > 1:
                raise ValueError("no batches here")
            return super().step(params, carry, drive)

    network = jaxrnn.bidirectional(Broken(3))
    with pytest.raises(ValueError, match=r"^Broken\(input_size=3\): one instant failed"):
        values(network, random_point(network))


def test_a_cell_that_calls_out_of_jax_reads_one_way_after_the_other():
    class Called(Leaky):
        def project(self, params, xs):
            return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(xs.shape, xs.dtype), xs)

        def step(self, params, carry, drive):
            twin = jax.ShapeDtypeStruct(drive.shape, drive.dtype)
            return super().step(params, carry, jax.pure_callback(np.arcsin, twin, drive))

    network = jaxrnn.bidirectional(Called(3))
    point = random_point(network)
    point = point._replace(xs=jnp.tanh(point.xs))  # where the arcsine of the sine is nothing
    assert_close(values(network, point), values(jaxrnn.bidirectional(Leaky(3)), point))
    assert loops(functools.partial(values, network), point) == 2
