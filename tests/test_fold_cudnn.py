"""The fold `cudnn`: all that is around cuDNN's two calls, with a stand-in for them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import (
    assert_close,
    assert_same_values_and_gradients,
    pull,
    random_like,
    random_point,
    random_probe,
    run,
    state_loss,
)
from cudnn_stand_in import room
from jax.experimental import rnn
from jax.sharding import PartitionSpec as P
from rows import QUICKLY

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, cudnn, scan
from jaxrnn.folds.cudnn import cudnn_applies
from jaxrnn.wrappers import Accompanied, Masked

TIME, ROWS = 5, 3
CELL = jaxrnn.LSTM(3, 4)
# Left padding, a hole, a row without any instant.
MASK = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]], bool)


def point_of(cell=CELL, seed=0, **shape):
    return random_point(cell, seed, **({"time": TIME, "batch": (ROWS,)} | shape))


# The vector of weights.


@pytest.mark.parametrize("use_bias", [True, False])
def test_weights_are_packed_as_jax_unpacks_them(use_bias):
    cell = jaxrnn.LSTM(3, 4, use_bias=use_bias)
    point = point_of(cell)
    read = functools.partial(room._as_cudnn_reads, cell)
    x, h, c, weights = read(*point)
    sizes = (3, 4, 1, False)
    assert weights.shape == (rnn.get_num_params_in_lstm(*sizes),)
    np.testing.assert_array_equal(x[1], point.xs[:, 1])
    np.testing.assert_array_equal(h, point.carry.h[None])
    np.testing.assert_array_equal(c, point.carry.c[None])

    def unpacked(weights):
        return [part[0] for part in rnn.unpack_lstm_weights(weights, *sizes)]

    def expected(params):
        bias = jnp.zeros(16) if params.bias is None else params.bias
        return [params.input_kernel.T, params.recurrent_kernel.T, bias, jnp.zeros(16)]

    assert_close(unpacked(weights), expected(point.params))
    # And back: the cotangent of each weight comes from where the weight went.
    d_weights = random_like(weights, 1)
    d_read = (x, h, c, d_weights)
    d_params, d_carry, d_xs = jax.linear_transpose(read, *point)(d_read)
    assert_close(expected(d_params)[: 2 + use_bias], unpacked(d_weights)[: 2 + use_bias])
    assert_close((d_carry, d_xs), (point.carry, point.xs))


# Around a stand-in.


@pytest.mark.parametrize(("use_bias", "batch"), [(True, ()), (False, (2, 1))], ids=str)
def test_values_and_gradients_are_those_of_scan(stand_in, use_bias, batch):
    cell = jaxrnn.LSTM(3, 4, use_bias=use_bias)
    point = point_of(cell, batch=batch)
    assert_same_values_and_gradients(cell, point, stand_in.fold)


def test_any_mask_is_moved_together_and_back(stand_in):
    point = point_of()
    by_cudnn, by_scan = (
        jax.jit(jax.value_and_grad(state_loss(CELL, fold, MASK)))(point)
        for fold in (stand_in.fold, scan)
    )
    assert_close(by_cudnn, by_scan)


def test_a_masked_cell_without_a_mask(stand_in):
    point = point_of()
    assert_close(stand_in.fold(Masked(CELL), *point), run(CELL, point))
    xs = Accompanied(point.xs, None)
    assert_close(stand_in.fold(Masked(CELL), *point._replace(xs=xs)), run(CELL, point))


def test_it_is_cudnn_that_computes_values_and_gradients(stand_in):
    point = point_of()
    probe, direction = random_probe(CELL, point), random_like(point, 1)
    stand_in.forward_factor, stand_in.backward_factor = 3.0, 2.0
    (carry, ys), gradient = pull(CELL, point, probe, fold=stand_in.fold)
    (expected_carry, expected_ys), expected = pull(CELL, point, probe)
    assert_close((carry, ys / 3), (expected_carry, expected_ys))
    assert_close(jax.tree.map(lambda d: d / 2, gradient), expected)
    # And that it is not where JAX could not transform it.
    tangent = jax.jvp(functools.partial(run, CELL, fold=stand_in.fold), (point,), (direction,))[1]
    assert_close(tangent, jax.jvp(functools.partial(run, CELL), (point,), (direction,))[1])


def test_forward_mode_and_second_derivatives(stand_in):
    point = point_of(time=2)
    direction = random_like(point, 1)

    @functools.partial(jax.jit, static_argnums=1, compiler_options=QUICKLY)
    def all_ways(point, fold):
        loss = state_loss(CELL, fold)
        gradient = jax.grad(loss)

        def slope(point):
            products = jax.tree.map(jnp.vdot, gradient(point), direction)
            return sum(jax.tree.leaves(products))

        def tangent(point):
            return jax.jvp(loss, (point,), (direction,))[1]

        return {
            "reverse over forward": jax.value_and_grad(tangent)(point),
            "forward over reverse": jax.jvp(gradient, (point,), (direction,)),
            "reverse over reverse": jax.grad(slope)(point),
        }

    assert_close(all_ways(point, stand_in.fold), all_ways(point, scan))


def test_a_pullback_can_be_transposed(stand_in):
    point = point_of(time=3)
    direction = random_like(point, 1)
    out, pullback = jax.vjp(functools.partial(run, CELL, fold=stand_in.fold), point)
    (tangent,) = jax.linear_transpose(pullback, out)((direction,))
    assert_close(tangent, jax.jvp(functools.partial(run, CELL), (point,), (direction,))[1])


def test_vmap_over_anything(stand_in):
    point = point_of(time=3)
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), point, random_like(point, 1))
    masks = jnp.stack([MASK[:3], MASK[2:]])
    probes = random_like(jax.tree.map(lambda y: jnp.stack([y, y]), run(CELL, point)), 2)

    @functools.partial(jax.jit, static_argnums=1, compiler_options=QUICKLY)
    def all_ways(point, fold):
        def outputs(point):
            return jaxrnn.unroll(CELL, point.params, point.xs, point.carry, fold=fold)

        def gradient(point, mask):
            return jax.value_and_grad(state_loss(CELL, fold, mask))(point)

        def mean(members):
            return jax.vmap(lambda member, mask: state_loss(CELL, fold, mask)(member))(
                members, masks
            ).sum()

        only_xs = type(point)(params=None, carry=None, xs=0)
        return {
            "gradients": jax.vmap(gradient)(members, masks),
            "inputs": jax.vmap(outputs, in_axes=(only_xs,))(point._replace(xs=members.xs)),
            "cotangents": jax.vmap(jax.vjp(outputs, point)[1])(probes),
            "gradient of a vmap": jax.grad(mean)(members),
        }

    assert_close(all_ways(point, stand_in.fold), all_ways(point, scan))


def test_checkpointed_in_segments(stand_in):
    point = point_of(time=7)
    assert_same_values_and_gradients(CELL, point, checkpointed(3, stand_in.fold))


# Where it does not apply.


@dataclasses.dataclass(frozen=True, repr=False)
class Other(jaxrnn.LSTM):
    """An LSTM whose equations are its own."""

    def step(self, params, carry, drive):
        carry, y = super().step(params, carry, drive)
        return carry, 2 * y


@pytest.mark.parametrize(
    ("cell", "shape"),
    [
        (jaxrnn.GRU(3, 4), {}),
        (Other(3, 4), {}),
        (jaxrnn.Zoneout(CELL, 0.1, 0.1), {}),
        (CELL, {"dtype": np.float32}),  # The stand-in's dtype is float64.
        (CELL, {"time": 0}),
        (CELL, {"batch": (0,)}),
    ],
    ids=["GRU", "subclass", "zoneout", "dtype", "no instant", "no row"],
)
def test_elsewhere_it_is_bptt_or_scan(stand_in, cell, shape):
    stand_in.forward_factor = stand_in.backward_factor = np.nan
    point = point_of(cell, **shape)
    assert not cudnn_applies(cell, *point)
    expected = (bptt if cell.knows_backward else scan)(cell, *point)
    assert_close(cudnn(cell, *point), expected, tolerance=0)


@pytest.mark.parametrize(
    ("precision", "applies"),
    [(None, True), ("highest", True), ("tensorfloat32", True), ("bfloat16", False)],
)
def test_only_at_a_precision_that_cudnn_has(stand_in, precision, applies):
    with jax.default_matmul_precision(precision):
        assert cudnn_applies(CELL, *point_of()) == applies


def test_the_pullback_has_the_precision_of_the_forward_pass(stand_in):
    """What cuDNN keeps is laid out for it, and the setting may have changed in the meantime."""

    def there_and_back(point):
        with jax.default_matmul_precision("highest"):
            out, pullback = jax.vjp(functools.partial(stand_in.fold, CELL), *point)
        forward, stand_in.precisions = stand_in.precisions, []
        assert set(forward) == {jax.lax.Precision.HIGHEST}
        return pullback(out)

    jax.eval_shape(there_and_back, point_of())
    assert set(stand_in.precisions) == {jax.lax.Precision.HIGHEST}


def test_not_where_one_array_has_another_dtype(stand_in):
    point = point_of()
    for changed in (
        point._replace(xs=point.xs.astype(jnp.float32)),
        point._replace(carry=point.carry._replace(c=point.carry.c.astype(jnp.float32))),
    ):
        assert not cudnn_applies(CELL, *changed)


def test_not_under_shard_map(stand_in):
    seen = []

    def body(point):
        seen.append(cudnn_applies(CELL, *point))
        return cudnn(CELL, *point)

    mesh = jax.make_mesh((1,), ("rows",), devices=jax.devices("cpu")[:1])
    point = point_of()
    sharded = jax.shard_map(body, mesh=mesh, in_specs=P(), out_specs=P())
    assert_close(sharded(point), run(CELL, point))
    assert seen and not any(seen)


def test_resets_and_histories_are_taken_by_other_folds(stand_in):
    stand_in.forward_factor = np.nan
    point = point_of()
    resets = jnp.asarray(MASK)

    def outputs(fold):
        front = functools.partial(
            jaxrnn.unroll, CELL, point.params, point.xs, point.carry, fold=fold
        )
        history = jaxrnn.unroll_history(CELL, point.params, point.xs, point.carry, fold=fold)
        return front(resets=resets), history

    assert_close(outputs(cudnn), outputs(scan))


def test_a_program_for_another_device_is_that_of_bptt(stand_in, monkeypatch):
    """A process may have a GPU and compile for its CPU."""
    monkeypatch.setattr(room, "PLATFORM", "rocm")
    monkeypatch.setattr(room, "_devices", lambda platform: ["a device"] * (platform == "rocm"))
    stand_in.forward_factor = stand_in.backward_factor = np.nan
    assert_same_values_and_gradients(CELL, point_of(), stand_in.fold)
