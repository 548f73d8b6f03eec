"""Initial weights are drawn from the distributions that their names say."""

import dataclasses
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.initializers import (
    Constant,
    FanInUniform,
    Glorot,
    Identity,
    Normal,
    Orthogonal,
    TorchUniform,
    gate_blocks,
)

KEY = jax.random.key(0)
ALL = [
    Constant(0.5),
    Normal(0.01),
    TorchUniform(),
    FanInUniform(),
    Glorot(),
    Orthogonal(2.0),
    Identity(0.5),
]
every_initializer = pytest.mark.parametrize("initializer", ALL, ids=repr)


@every_initializer
def test_is_a_value(initializer):
    twin = dataclasses.replace(initializer)
    assert twin == initializer and hash(twin) == hash(initializer)
    assert pickle.loads(pickle.dumps(initializer)) == initializer
    assert eval(repr(initializer)) == initializer


@every_initializer
@pytest.mark.parametrize("dtype", [None, jnp.float32, jnp.bfloat16])
def test_shape_dtype_and_determinism(initializer, dtype):
    weights = initializer(KEY, (6, 4), dtype)
    assert weights.shape == (6, 4)
    assert weights.dtype == (dtype or jnp.float64)
    assert (weights == initializer(KEY, (6, 4), dtype)).all()
    drawn = not isinstance(initializer, Constant | Identity)
    assert bool((weights != initializer(jax.random.key(1), (6, 4), dtype)).any()) == drawn


def assert_uniform(weights, bound):
    """Within ±bound, reaching almost there, with the moments of a uniform distribution."""
    values = np.asarray(weights).ravel()
    assert np.abs(values).max() <= bound
    assert values.max() > 0.99 * bound and values.min() < -0.99 * bound
    error = 4 / math.sqrt(values.size)
    assert abs(values.mean()) < error * bound
    np.testing.assert_allclose(values.var(), bound**2 / 3, rtol=error)
    np.testing.assert_allclose((values**4).mean(), bound**4 / 5, rtol=2 * error)


def test_torch_uniform():
    assert_uniform(TorchUniform()(KEY, (200, 50)), 1 / math.sqrt(50))
    assert_uniform(TorchUniform()(KEY, (10_000,)), 1 / math.sqrt(10_000))


def test_fan_in_uniform():
    assert_uniform(FanInUniform()(KEY, (200, 50)), 1 / math.sqrt(200))


def test_glorot():
    assert_uniform(Glorot()(KEY, (200, 50)), math.sqrt(6 / 250))


def test_normal():
    values = np.asarray(Normal(0.01)(KEY, (200, 50))).ravel()
    error = 4 / math.sqrt(values.size)
    assert abs(values.mean()) < error * 0.01
    np.testing.assert_allclose(values.std(), 0.01, rtol=error)
    np.testing.assert_allclose((values**4).mean(), 3 * 0.01**4, rtol=4 * error)
    assert Normal().stddev == 0.01


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)])
def test_orthogonal(shape):
    matrix = np.asarray(Orthogonal(2.0)(KEY, shape))
    small = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, 4 * np.eye(min(shape)), atol=1e-12)


def test_identity_and_constant():
    assert (Identity(0.5)(KEY, (3, 4)) == 0.5 * np.eye(3, 4)).all()
    assert (Constant(0.25)(KEY, (3,)) == 0.25).all()


@pytest.mark.parametrize("initializer", [Glorot(), Orthogonal(), Identity()], ids=repr)
def test_matrices_only(initializer):
    with pytest.raises(ValueError, match=r"draws matrices, but was asked for the shape \(4,\)"):
        initializer(KEY, (4,))
    cell = jaxrnn.Elman(3, 4, bias_init=initializer)
    with pytest.raises(ValueError, match="use Constant, Normal or TorchUniform for a bias"):
        cell.init(KEY)


def test_gate_blocks_are_drawn_one_by_one():
    blocks = np.split(np.asarray(gate_blocks(Orthogonal(), KEY, (4, 4), gates=3)), 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(4), atol=1e-12)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.1
    assert np.abs(blocks[1] - blocks[2]).max() > 0.1


@pytest.mark.parametrize("make, gates", [(jaxrnn.LSTM, 4), (jaxrnn.GRU, 3)])
def test_cells_draw_each_gate_by_itself(make, gates):
    kinds = {"input_init": Glorot(), "recurrent_init": Orthogonal(), "bias_init": TorchUniform()}
    params = make(40, 30, **kinds).init(KEY)
    for block in np.split(np.asarray(params.recurrent_kernel), gates, axis=1):
        np.testing.assert_allclose(block.T @ block, np.eye(30), atol=1e-12)
    # The bound is that of one gate's matrix, not of the fused one.
    bound = math.sqrt(6 / 70)
    assert 0.98 * bound < np.abs(params.input_kernel).max() <= bound


def test_every_kind_of_weight_has_an_initializer_of_its_own():
    kinds = {
        "input_init": Constant(1.0),
        "recurrent_init": Constant(2.0),
        "bias_init": Constant(3.0),
    }
    for cell in [
        jaxrnn.Elman(2, 3, **kinds),
        jaxrnn.LSTM(2, 3, forget_bias=0.0, **kinds),
        jaxrnn.GRU(2, 3, **kinds),
        jaxrnn.ResetBeforeGRU(2, 3, **kinds),
    ]:
        params = cell.init(KEY)
        assert (params.input_kernel == 1).all()
        assert (params.recurrent_kernel == 2).all()
        assert (params.bias == 3).all()
    assert (jaxrnn.GRU(2, 3, **kinds).init(KEY).recurrent_bias == 3).all()


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, -2.5])
def test_forget_bias_stands_in_the_f_block_only(forget_bias):
    cell = jaxrnn.LSTM(3, 4, forget_bias=forget_bias, bias_init=TorchUniform())
    without = jaxrnn.LSTM(3, 4, forget_bias=0.0, bias_init=TorchUniform())
    added = cell.init(KEY).bias - without.init(KEY).bias
    np.testing.assert_allclose(added, np.repeat([0, forget_bias, 0, 0], 4), atol=1e-15)


def test_forget_bias_is_not_hidden_in_the_forward_pass():
    cell, plain = jaxrnn.LSTM(3, 4, forget_bias=5.0), jaxrnn.LSTM(3, 4, forget_bias=0.0)
    params = cell.init(KEY)
    xs = jax.random.normal(KEY, (3, 3))
    assert (jaxrnn.unroll(cell, params, xs)[1] == jaxrnn.unroll(plain, params, xs)[1]).all()


def test_irnn():
    cell = jaxrnn.Elman(3, 4, activation=jax.nn.relu, recurrent_init=Identity())
    params = cell.init(KEY)
    assert (params.recurrent_kernel == np.eye(4)).all()
    # With nothing to read, a non-negative carry is kept for ever.
    carry = jaxrnn.ElmanCarry(h=jnp.array([0.5, 0.0, 2.0, 1.0]))
    last, _ = jaxrnn.unroll(cell, params, jnp.zeros((50, 3)), carry)
    assert (last.h == carry.h).all()


def test_the_weights_of_min_char_rnn():
    cell = jaxrnn.Elman(30, 40, input_init=Normal(0.01), recurrent_init=Normal(0.01))
    params = cell.init(KEY)
    for kernel in (params.input_kernel, params.recurrent_kernel):
        np.testing.assert_allclose(np.std(kernel), 0.01, rtol=0.1)
    assert not params.bias.any()


def test_layers_of_a_stack_and_directions_are_drawn_apart():
    layer = jaxrnn.Elman(4, 4)
    params = jaxrnn.stack(jaxrnn.bidirectional(layer, merge=jaxrnn.add), layer, layer).init(KEY)
    both, first, second = params.layers
    kernels = [p.recurrent_kernel for p in (both.forward, both.backward, first, second)]
    for number, kernel in enumerate(kernels):
        assert all(abs(kernel - other).max() > 0.1 for other in kernels[:number])
