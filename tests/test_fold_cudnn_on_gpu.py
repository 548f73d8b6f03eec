"""The fold `cudnn` with cuDNN itself, on a GPU."""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, pull, random_like, random_point, random_probe, run, state_loss

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, cudnn, scan
from jaxrnn.folds.cudnn import cudnn_agrees, cudnn_applies

pytestmark = pytest.mark.skipif(
    not sys.modules["jaxrnn.folds.cudnn"]._devices("cuda"),  # `jaxrnn.folds.cudnn` is the fold.
    reason="there is no NVIDIA GPU here to run cuDNN on",
)
# In float32, where the two add in another order over 30 instants.
ON_GPU = functools.partial(assert_close, tolerance=1e-4)
WIDE = jaxrnn.LSTM(20, 32)


@pytest.fixture
def in_float32():
    with jax.default_matmul_precision("highest"):
        yield


def wide_point(cell=WIDE, batch=(6,)):
    return random_point(cell, 3, time=30, batch=batch, dtype=np.float32)


wide_loss = functools.partial(state_loss, WIDE)


def test_cudnn_is_what_is_compiled(in_float32):
    point = wide_point()
    assert cudnn_applies(WIDE, *point)
    program = jax.jit(jax.grad(wide_loss(cudnn))).lower(point).as_text()
    assert program.count("cudnn_rnn_ffi") == program.count("cudnn_rnn_bwd_ffi") == 1
    assert "stablehlo.while" not in program


@pytest.mark.parametrize("precision", [None, "highest"])
def test_automatic_takes_cudnn_where_there_is_one_gpu(precision):
    with jax.default_matmul_precision(precision):
        assert cudnn_agrees() == (len(jax.devices("cuda")) == 1)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("batch", [(), (6,), (2, 3)], ids=str)
def test_cudnn_is_scan_in_values_and_gradients(in_float32, use_bias, batch):
    cell = dataclasses.replace(WIDE, use_bias=use_bias)
    point = wide_point(cell, batch)
    probe = random_probe(cell, point)
    ON_GPU(pull(cell, point, probe, fold=cudnn), pull(cell, point, probe))


@pytest.mark.parametrize("kind", ["right", "left", "holes"])
def test_cudnn_is_scan_under_masks(in_float32, kind):
    lengths = np.array([30, 0, 1, 17, 29, 30])
    mask = np.arange(30)[:, None] < lengths
    if kind == "left":
        mask = mask[::-1]
    if kind == "holes":
        mask = np.random.default_rng(0).random((30, 6)) < lengths / 30
    point = wide_point()
    by_cudnn, by_scan = (
        jax.jit(jax.value_and_grad(wide_loss(fold, jnp.asarray(mask)))) for fold in (cudnn, scan)
    )
    ON_GPU(by_cudnn(point), by_scan(point))


def test_cudnn_is_scan_under_every_transformation(in_float32):
    point = wide_point()
    direction = random_like(point, 4, 0.1, np.float32)
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), point)

    @functools.partial(jax.jit, static_argnums=1)
    def all_ways(point, fold):
        loss = wide_loss(fold)

        def slope(point):
            products = jax.tree.map(jnp.vdot, jax.grad(loss)(point), direction)
            return sum(jax.tree.leaves(products))

        return {
            "forward": jax.jvp(loss, (point,), (direction,)),
            "forward over reverse": jax.jvp(jax.grad(loss), (point,), (direction,)),
            "reverse over reverse": jax.grad(slope)(point),
            "vmap": jax.vmap(jax.value_and_grad(loss))(members),
            "checkpoint": jax.grad(jax.checkpoint(loss))(point),
            "segments": jax.grad(wide_loss(checkpointed(7, fold)))(point),
        }

    ON_GPU(all_ways(point, cudnn), all_ways(point, scan), tolerance=1e-3)


def test_cudnn_in_tf32_is_near_scan_in_float32():
    point = wide_point()
    by_cudnn = jax.jit(jax.grad(wide_loss(cudnn)))(point)
    with jax.default_matmul_precision("highest"):
        by_scan = jax.jit(jax.grad(wide_loss(scan)))(point)
    ON_GPU(by_cudnn, by_scan, tolerance=0.05)


def test_a_pullback_outside_of_its_precision_runs_at_that_of_the_forward_pass(in_float32):
    point = wide_point()
    probe = random_probe(WIDE, point)
    out, pullback = jax.vjp(functools.partial(run, WIDE, fold=cudnn), point)
    with jax.default_matmul_precision(None):
        gradient = pullback(probe)[0]
    ON_GPU((out, gradient), pull(WIDE, point, probe))


def test_a_program_for_the_cpu_beside_a_gpu_is_that_of_bptt(in_float32):
    with jax.default_device(jax.devices("cpu")[0]):
        point = wide_point()
        assert cudnn_applies(WIDE, *point)
        gradients = [jax.jit(jax.grad(wide_loss(fold)))(point) for fold in (cudnn, bptt)]
    ON_GPU(*gradients)


def test_training_with_cudnn_brings_the_loss_down():
    point = wide_point()

    @jax.jit
    def step(params):
        loss, gradient = jax.value_and_grad(
            lambda params: wide_loss(cudnn)(point._replace(params=params))
        )(params)
        return jax.tree.map(lambda p, d: p - d, params, gradient), loss

    params, first = step(point.params)
    for _ in range(20):
        params, last = step(params)
    assert last < first
