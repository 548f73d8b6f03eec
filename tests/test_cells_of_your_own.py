"""Cells that users derive from ours or write themselves: never a silent wrong answer."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from comparison import assert_same_values_and_gradients, random_point

import jaxrnn
from jaxrnn.folds import automatic, bptt, scan


class DoubledElman(jaxrnn.Elman):
    def step(self, params, carry, drive):
        carry, y = super().step(params, carry, drive)
        return jaxrnn.ElmanCarry(2 * carry.h), 2 * y


class LinearOutputLSTM(jaxrnn.LSTM):
    def update(self, params, carry, gates):
        c = gates.f * carry.c + gates.i * gates.g
        return jaxrnn.LSTMCarry(h=gates.o * c, c=c), gates.o * c


class HalfResetGRU(jaxrnn.GRU):
    def gates(self, params, carry, drive):
        gates = super().gates(params, carry, drive)
        return gates._replace(r=gates.r / 2)


class TwiceProjectedElman(jaxrnn.Elman):
    def project(self, params, xs):
        return super().project(params, 2 * xs)


class HastyZoneout(jaxrnn.Zoneout):
    def step(self, params, carry, drive):
        carry, y = super().step(params, carry, drive)
        return carry, 2 * y


DERIVED = [
    DoubledElman(3, 4),
    LinearOutputLSTM(3, 4),
    HalfResetGRU(3, 4),
    TwiceProjectedElman(3, 4),
    HastyZoneout(jaxrnn.GRU(3, 4), hidden_rate=0.1),
]


@pytest.mark.parametrize("cell", DERIVED, ids=lambda cell: type(cell).__name__)
def test_other_equations_do_not_inherit_the_derivative(cell):
    assert not cell.knows_backward
    point = random_point(cell, seed=1)
    assert_same_values_and_gradients(cell, point, automatic)
    with pytest.raises(TypeError, match="does not say its backward step"):
        jaxrnn.unroll(cell, point.params, point.xs, fold=bptt)


def softmax(a):
    return jax.nn.softmax(a, axis=-1)


def centred_tanh(a):
    return jnp.tanh(a - a.mean(axis=-1, keepdims=True) * jnp.ones_like(a))


@pytest.mark.parametrize("activation", [softmax, centred_tanh, jax.nn.softplus, jax.nn.gelu])
def test_an_activation_need_not_be_pointwise(activation):
    cell = jaxrnn.Elman(3, 4, activation=activation)
    assert_same_values_and_gradients(cell, random_point(cell, seed=2), bptt)


@dataclasses.dataclass(frozen=True)
class Counting(jaxrnn.Cell):
    """Its carry has a number that is not one per row."""

    input_size: int

    def init(self, key):
        return {"gain": jax.random.normal(key)}

    def initial_carry(self, batch_shape=()):
        return {"t": jnp.zeros((), int), "h": jnp.zeros((*batch_shape, self.input_size))}

    def step(self, params, carry, drive):
        h = carry["h"] + params["gain"] * drive
        return {"t": carry["t"] + 1, "h": h}, h


def test_a_carry_with_something_that_is_not_one_per_row():
    cell, xs = Counting(3), jnp.ones((5, 2, 3))
    params = cell.init(jax.random.key(0))
    assert int(jaxrnn.unroll(cell, params, xs)[0]["t"]) == 5
    resets = jnp.zeros((5, 2), bool)
    for marks in ({"lengths": [5, 2]}, {"resets": resets}):
        with pytest.raises(ValueError, match=r"carry `\['t'\]` has shape \(\); .*every row"):
            jaxrnn.unroll(cell, params, xs, **marks)


@dataclasses.dataclass
class Thawed(Counting.__base__):
    input_size: int
    init, initial_carry, step = Counting.init, Counting.initial_carry, Counting.step


class Plain(Counting.__base__):
    input_size = 3
    init, initial_carry, step = Counting.init, Counting.initial_carry, Counting.step


@dataclasses.dataclass(frozen=True)
class Holding(Counting):
    table: list


@pytest.mark.parametrize(
    "cell", [Thawed(3), Plain(), Holding(3, [1])], ids=lambda c: type(c).__name__
)
def test_a_description_that_jax_cannot_recognise(cell):
    with pytest.raises(TypeError, match=r"Make it a @dataclasses.dataclass\(frozen=True\)"):
        jaxrnn.unroll(cell, {"gain": jnp.ones(())}, jnp.ones((5, 2, 3)))


@pytest.mark.parametrize(
    "cell", [jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4), jaxrnn.Elman(3, 4)], ids=repr
)
def test_one_instant_is_checked_too(cell):
    params, carry = cell.init(jax.random.key(0)), cell.initial_carry()
    with pytest.raises(TypeError, match="x has dtype int.*expected floating-point"):
        cell(params, carry, jnp.eye(3, dtype=int)[0])
    with pytest.raises(ValueError, match=r"x has shape \(5,\); expected \[\*batch, 3\]"):
        cell(params, carry, jnp.ones(5))


def test_the_parameters_of_a_cell_have_one_dtype():
    cell = jaxrnn.LSTM(3, 4)
    params = cell.init(jax.random.key(0))
    mixed = params._replace(recurrent_kernel=params.recurrent_kernel.astype(jnp.bfloat16))
    with pytest.raises(TypeError, match="`recurrent_kernel` has dtype bfloat16 but `input_kernel`"):
        jaxrnn.unroll(cell, mixed, jnp.ones((5, 2, 3)))


def test_unit_vectors_have_the_dtype_of_the_parameters_above():
    network = jaxrnn.stack(jaxrnn.OneHot(5), jaxrnn.LSTM(5, 4))
    params = jax.tree.map(lambda p: p.astype(jnp.float32), network.init(jax.random.key(0)))
    tokens = jnp.array([[0, 4], [2, 1]])
    assert jaxrnn.unroll(network, params, tokens)[1].dtype == jnp.float32
    assert network(params, network.start(params, (2,)), tokens[0])[1].dtype == jnp.float32
    narrow = jaxrnn.MixedPrecision(network)
    assert jaxrnn.unroll(narrow, params, tokens, fold=scan)[1].dtype == jnp.float32


def test_a_merge_has_to_be_a_function():
    with pytest.raises(TypeError, match="merge must be a function .*got 'sum'"):
        jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), merge="sum")


@pytest.mark.parametrize("name", ["truncated", "rebuilt", "checkpointed", "offloaded", "spread"])
def test_what_makes_a_fold_has_to_be_called(name):
    cell, make = jaxrnn.LSTM(3, 4), getattr(jaxrnn.folds, name)
    with pytest.raises(TypeError, match=rf"^fold: {name} makes a fold .* as in fold={name}\(\w+\)"):
        jaxrnn.unroll(cell, cell.init(jax.random.key(0)), jnp.ones((5, 3)), fold=make)
