"""Cells that users derive from ours or write themselves: never a silent wrong answer."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, assert_same_values_and_gradients, random_point
from tables import label

import jaxrnn
from jaxrnn import training
from jaxrnn.folds import automatic, bptt, checkpointed, hoisted, scan, spread, truncated


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


@jax.custom_vjp
def clipped(h):
    """Its cotangent is clipped at every instant, which is not linear."""
    return h


clipped.defvjp(lambda h: (h, None), lambda _, d_h: (jnp.clip(d_h, -0.1, 0.1),))


def clipping(h, u, x):
    return clipped(jnp.tanh(h @ u + x))


def branching(h, u, x):
    return jax.lax.cond(x.sum() > 0, lambda h: jnp.tanh(h @ u + x), lambda h: h, h)


def looping(h, u, x):
    def twice(state):
        return state[0] + 1, jnp.tanh(state[1] @ u + x)

    return jax.lax.while_loop(lambda state: state[0] < 2, twice, (0, h))[1]


@dataclasses.dataclass(frozen=True)
class Updating(jaxrnn.Cell):
    """A cell with any update: h' = update(h, U, x)."""

    input_size: int
    update: Callable

    def init(self, key):
        return {"u": jax.random.normal(key, (self.input_size,) * 2)}

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.input_size))

    def step(self, params, carry, drive):
        h = self.update(carry, params["u"], drive)
        return h, h


@pytest.mark.parametrize("fold", [automatic, hoisted], ids=["automatic", "hoisted"])
@pytest.mark.parametrize("update", [clipping, branching, looping], ids=["clip", "cond", "while"])
def test_what_cannot_be_hoisted_has_the_derivative_of_scan(update, fold):
    cell = Updating(3, update)
    params = cell.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (7, 2, 3))

    def derivative(fold):
        def loss(params):
            return (jaxrnn.unroll(cell, params, xs, fold=fold)[1] ** 2).sum()

        if update is looping:  # JAX takes it backwards in no way.
            return jax.jvp(loss, (params,), (params,))
        return jax.grad(loss)(params)

    assert_close(derivative(fold), derivative(scan))


@pytest.mark.parametrize("cell", [jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4), jaxrnn.Elman(3, 4)], ids=str)
def test_hoisted_with_numbers_that_are_known(cell):
    """Called as the docstrings do: of known numbers JAX keeps other residuals than in a loop."""
    params, carry = cell.init(jax.random.key(0)), cell.initial_carry()
    xs = np.random.default_rng(0).normal(size=(7, 3))

    def loss(params, fold):
        return (fold(cell, params, carry, xs)[1] ** 2).sum()

    expected = jax.grad(loss)(params, scan)
    assert_close(jax.grad(loss)(params, hoisted), expected)
    known = jax.tree.map(np.asarray, carry)
    inside = jax.jit(jax.grad(lambda p: (hoisted(cell, p, known, xs)[1] ** 2).sum()))
    assert_close(inside(params), expected)
    assert_close(
        jax.jvp(lambda p: loss(p, hoisted), (params,), (params,))[1],
        jax.jvp(lambda p: loss(p, scan), (params,), (params,))[1],
    )
    with jax.disable_jit():
        assert_close(jax.grad(loss)(params, hoisted), expected)


@pytest.mark.parametrize(
    "fold", [automatic, scan, hoisted, truncated(2), checkpointed(2)], ids=label
)
def test_a_gradient_is_compiled_once(fold, compilations):
    """Outside of `jax.jit` too."""
    cell = Updating(3, lambda h, u, x: jnp.tanh(h @ u + x))
    params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 2, 3))

    def gradient():
        return jax.grad(lambda params: jaxrnn.unroll(cell, params, xs, fold=fold)[1].sum())(params)

    gradient(), gradient()
    seen = len(compilations)
    assert seen > 0
    gradient()
    assert len(compilations) == seen


def broken(name):
    """Cells that go wrong in one instant, each in its way."""

    def update(h, u, x):
        if name == "key":
            raise KeyError("q")
        if name == "tracer" and h.sum() > 0:
            return h
        return (h, h) if name == "pair" else h

    return Updating(3, update)


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("key", KeyError, "q"),
        ("tracer", jax.errors.TracerBoolConversionError, "traced"),
        ("pair", TypeError, "an output of type tuple; expected one array"),
    ],
)
def test_what_fails_in_a_step_names_the_cell(name, error, sentence):
    cell = broken(name)
    with pytest.raises(error, match=sentence) as caught:
        jaxrnn.unroll(cell, cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    told = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any(
        part.startswith("Updating(input_size=3") and "one instant failed" in part for part in told
    )


def test_a_carry_may_begin_with_numbers_of_python():
    class FromZero(Counting):
        def initial_carry(self, batch_shape=()):
            return super().initial_carry(batch_shape) | {"t": 0}

    cell = FromZero(3)
    params = cell.init(jax.random.key(0))
    assert int(jaxrnn.unroll(cell, params, jnp.ones((5, 2, 3)))[0]["t"]) == 5


@pytest.mark.parametrize(
    "fold", [automatic, spread(training.data_mesh(1))], ids=["automatic", "spread"]
)
def test_the_history_of_what_all_rows_share(fold):
    cell, xs = Counting(3), jnp.ones((2, 5, 3))
    params = cell.init(jax.random.key(0))
    history, _ = jaxrnn.unroll_history(cell, params, xs, time_axis=1, fold=fold)
    assert history.carry["t"].tolist() == [1, 2, 3, 4, 5]
    assert history.carry["h"].shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("fold", "error", "sentence"),
    [
        (
            lambda *given: None,
            TypeError,
            r"must return the carry and the outputs.*got a value of type NoneType",
        ),
        (
            lambda cell, params, carry, xs: scan(cell, params, carry, xs[1:]),
            ValueError,
            r"returned outputs of shape \(4, 2, 3\) for 5 instants",
        ),
    ],
    ids=["None", "an instant less"],
)
@pytest.mark.parametrize("in_one_loop", [False, True])
def test_a_fold_of_your_own_is_checked(fold, error, sentence, in_one_loop):
    layer = jaxrnn.bidirectional(jaxrnn.GRU(3, 3)) if in_one_loop else Counting(3)
    sentence = sentence.replace("2, 3", "2, 2, 3") if in_one_loop else sentence
    with pytest.raises(error, match=sentence):
        jaxrnn.unroll(layer, layer.init(jax.random.key(0)), jnp.ones((5, 2, 3)), fold=fold)
