"""Bad input raises before anything is traced, and the message says what to do."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import random_point
from tables import Leaky

import jaxrnn
from jaxrnn.networks.border import check_step

CELL = jaxrnn.LSTM(3, 4)
NAME = re.escape("LSTM(input_size=3, hidden_size=4)")
POINT = random_point(CELL)
PARAMS, CARRY, XS = POINT
GRU_PARAMS = random_point(jaxrnn.GRU(3, 4)).params
TOKENS = jaxrnn.stack(jaxrnn.OneHot(5), jaxrnn.LSTM(5, 4))
TOKEN_PARAMS = random_point(TOKENS).params
EMBEDDING = jaxrnn.Embedding(5, 2)
EMBEDDING_PARAMS = random_point(EMBEDDING).params
IDS = np.array([[0, 1], [4, 2]])

unroll = jaxrnn.unroll

# What is called with what, the error, and what its message says.
BAD_CALLS = {
    # The layer.
    "class for instance": (
        (jaxrnn.LSTM, PARAMS, XS),
        TypeError,
        r"got the class LSTM; make one first, as in LSTM\(input_size=3, hidden_size=4\)",
    ),
    "params first": (
        (PARAMS, CELL, XS),
        TypeError,
        (
            r"expected a cell or a network.*, got LSTMParams\(input_kernel, .*, bias\); "
            r"the order is unroll\(layer, params, xs, carry\)"
        ),
    ),
    "xs first": ((XS, PARAMS, CELL), TypeError, r"got an array of shape \(5, 2, 3\); the order is"),
    "no layer": ((None, PARAMS, XS), TypeError, "got a value of type NoneType"),
    "function for layer": ((CELL.step, PARAMS, XS), TypeError, "got a value of type method"),
    # The parameters.
    "params and xs swapped": (
        (CELL, XS, PARAMS),
        TypeError,
        rf"{NAME}: parameter tree does not fit: `bias` is missing. Got an array of shape",
    ),
    "params of another cell": (
        (CELL, GRU_PARAMS, XS),
        TypeError,
        (
            rf"{NAME}: parameter tree does not fit: `recurrent_bias` is not known. Got "
            r"GRUParams\(.*\); expected LSTMParams\(.*\), as from layer.init\(key\)"
        ),
    ),
    "params without bias": (
        (CELL, PARAMS._replace(bias=None), XS),
        TypeError,
        r"`bias` is missing. Got LSTMParams\(input_kernel, recurrent_kernel, bias=None\)",
    ),
    "bias too many": (
        (jaxrnn.LSTM(3, 4, use_bias=False), PARAMS, XS),
        TypeError,
        "`bias` is not known",
    ),
    "params in a tuple": ((CELL, tuple(PARAMS), XS), TypeError, "parameter tree does not fit"),
    "params in another container": (
        (CELL, jaxrnn.ElmanParams(*PARAMS), XS),
        TypeError,
        "its containers differ. Got ElmanParams",
    ),
    "params of another size": (
        (CELL, random_point(jaxrnn.LSTM(3, 5)).params, XS),
        ValueError,
        rf"{NAME}: parameter `input_kernel` has shape \(3, 20\); expected \(3, 16\), as from layer",
    ),
    "transposed params": (
        (CELL, PARAMS._replace(input_kernel=PARAMS.input_kernel.T), XS),
        ValueError,
        r"`input_kernel` has shape \(16, 3\); expected \(3, 16\)",
    ),
    "no params": ((CELL, None, XS), TypeError, "Got a value of type NoneType"),
    "number for a parameter": (
        (CELL, PARAMS._replace(bias=0.0), XS),
        TypeError,
        "parameter `bias` is a value of type float; expected an array",
    ),
    "integer params": (
        (CELL, jax.tree.map(lambda p: p.astype(int), PARAMS), XS),
        TypeError,
        "parameter `input_kernel` has dtype int64; expected a floating-point one",
    ),
    "params of one layer for a stack": (
        (jaxrnn.stack(CELL), PARAMS, XS),
        TypeError,
        r"parameter tree does not fit.*expected StackParams\(layers\)",
    ),
    # The sequence.
    "no array": ((CELL, PARAMS, "hello"), TypeError, "xs must be an array of numbers.*type str"),
    "ragged lists": ((CELL, PARAMS, [[1.0], [2.0, 3.0]]), TypeError, "xs must be an array"),
    "one instant": (
        (CELL, PARAMS, XS[0, 0]),
        ValueError,
        (
            rf"{NAME}: xs has shape \(3,\); expected \[time, \*batch, 3\], at least two axes. "
            r"For one instant call layer\(params, carry, x\)"
        ),
    ),
    "a number": ((CELL, PARAMS, 1.0), ValueError, r"xs has shape \(\); expected"),
    "wrong width": (
        (CELL, PARAMS, jnp.ones((5, 2, 7))),
        ValueError,
        (
            r"xs has shape \(5, 2, 7\), so its last axis is 7 wide; expected input_size=3, as "
            r"\[time, \*batch, 3\]\.$"
        ),
    ),
    "features not last": (
        (CELL, PARAMS, jnp.ones((5, 3, 2))),
        ValueError,
        "its last axis is 2 wide.* Axis 1 has that width: are the axes in another order",
    ),
    "integers for vectors": (
        (CELL, PARAMS, jnp.ones((5, 2, 3), int)),
        TypeError,
        "xs has dtype int64; expected floating-point vectors. Token ids go through OneHot or Emb",
    ),
    "complex numbers": ((CELL, PARAMS, XS + 1j), TypeError, "xs has dtype complex128"),
    "another precision": (
        (CELL, PARAMS, XS.astype(jnp.float32)),
        TypeError,
        (
            r"xs has dtype float32 but the parameters have float64; cast one of them, as in "
            r"xs.astype\('float64'\)"
        ),
    ),
    # Tokens.
    "vectors for tokens": (
        (TOKENS, TOKEN_PARAMS, jnp.ones((5, 2))),
        TypeError,
        r"Stack\(.*: xs has dtype float64; expected integer token ids, \[time, \*batch\]",
    ),
    "one token": ((TOKENS, TOKEN_PARAMS, 3), ValueError, r"xs has shape \(\); expected \[time"),
    "token too large": (
        (TOKENS, TOKEN_PARAMS, IDS + 1),
        ValueError,
        "xs holds token ids from 1 to 5; expected 0 to 4",
    ),
    "negative token": (
        (EMBEDDING, EMBEDDING_PARAMS, IDS - 1),
        ValueError,
        "token ids from -1 to 3",
    ),
    # The carry.
    "carry of another batch": (
        (CELL, PARAMS, XS, CELL.initial_carry((3,))),
        ValueError,
        (
            rf"{NAME}: carry `h` has shape \(3, 4\); expected \(2, 4\), as from "
            r"layer.initial_carry\(\(2,\)\)"
        ),
    ),
    "carry without batch": (
        (CELL, PARAMS, XS, CELL.initial_carry()),
        ValueError,
        r"carry `h` has shape \(4,\); expected \(2, 4\)",
    ),
    "carry of another cell": (
        (CELL, PARAMS, XS, jaxrnn.GRU(3, 4).initial_carry((2,))),
        TypeError,
        r"carry tree does not fit: `c` is missing. Got GRUCarry\(h\); expected LSTMCarry\(h, c\)",
    ),
    "bare array for carry": (
        (CELL, PARAMS, XS, CARRY.h),
        TypeError,
        r"carry tree does not fit: `c` is missing. Got an array of shape \(2, 4\)",
    ),
    "carry in another container": (
        (jaxrnn.Elman(3, 4), random_point(jaxrnn.Elman(3, 4)).params, XS, jaxrnn.GRUCarry(CARRY.h)),
        TypeError,
        "its containers differ. Got GRUCarry",
    ),
    "carry of numbers": (
        (CELL, PARAMS, XS, jaxrnn.LSTMCarry(h=0.0, c=0.0)),
        TypeError,
        "carry `[ch]` is a value of type float; expected an array",
    ),
    "carry of another precision": (
        (CELL, PARAMS, XS, jax.tree.map(lambda c: c.astype(jnp.float32), CARRY)),
        TypeError,
        (
            "carry `h` has dtype float32, expected float64 as the parameters have; cast one of "
            "them with .astype, or make the carry with layer.start"
        ),
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls(name):
    arguments, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        unroll(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"fold": "scan"},
            TypeError,
            "fold must be a function .* such as jaxrnn.folds.scan; got 's",
        ),
        ({"fold": None}, TypeError, "fold must be a function"),
        ({"time_axis": 3}, ValueError, r"time_axis=3 is outside xs, whose shape is \(5, 2, 3\)"),
        ({"time_axis": -4}, ValueError, "time_axis=-4 is outside xs"),
        ({"time_axis": 1.0}, TypeError, "time_axis must be an integer, got 1.0"),
        ({"time_axis": True}, TypeError, "time_axis must be an integer, got True"),
        ({"time_axis": 2}, ValueError, "its last axis is 2 wide"),
        ({"time_major": True}, TypeError, "unexpected keyword"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        unroll(CELL, PARAMS, XS, **options)


def test_a_fold_that_cannot_be_hashed():
    class Unhashable:
        __hash__ = None

        def __call__(self, cell, params, carry, xs):
            raise AssertionError("not reached")

    with pytest.raises(TypeError, match="fold must be hashable, so that JAX can recognise it"):
        unroll(CELL, PARAMS, XS, fold=Unhashable())


def test_errors_come_before_tracing():
    """And under `jit` they are the same sentences, not a shape error from deep inside."""

    @jax.jit
    def compiled(params, xs):
        return unroll(CELL, params, xs)

    with pytest.raises(ValueError, match="expected input_size=3"):
        compiled(PARAMS, jnp.ones((5, 2, 7)))
    with pytest.raises(TypeError, match="xs has dtype float32"):
        compiled(PARAMS, XS.astype(jnp.float32))


@pytest.mark.parametrize("too", [5, -1])
def test_tokens_outside_the_table_under_jit(too):
    """There the ids cannot be seen: the embedding gives NaN, and no other token's vector."""
    ids = jnp.array([0, too, 4])
    run = jax.jit(functools.partial(unroll, EMBEDDING))
    _, ys = run(EMBEDDING_PARAMS, ids)
    assert jnp.isnan(ys[1]).all()
    assert (ys[jnp.array([0, 2])] == EMBEDDING_PARAMS.table[jnp.array([0, 4])]).all()
    _, ones = jax.jit(functools.partial(unroll, jaxrnn.OneHot(5)))((), ids)
    assert not ones[1].any() and (ones.sum(-1) == jnp.array([1, 0, 1])).all()


# A layer in the middle of a network.


class Misbehaving(Leaky):
    """A user's cell with a mistake in `step`."""

    def step(self, params, carry, drive):
        return self.mistake(carry, super().step(params, carry, drive))


class Widening(Misbehaving):
    def mistake(self, carry, out):
        return jax.tree.map(lambda c: jnp.concatenate([c, c], -1), out[0]), out[1]


class Forgetting(Misbehaving):
    def mistake(self, carry, out):
        return out[0].h, out[1]


class Promoting(Misbehaving):
    def mistake(self, carry, out):
        return jax.tree.map(lambda c: c.astype(jnp.float64), out[0]), out[1]


class Failing(Misbehaving):
    def mistake(self, carry, out):
        return out[0], out[1] @ jnp.ones((17, 2), out[1].dtype)


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        (
            Widening(3),
            ValueError,
            r"step returned a carry whose leaf `h` has shape \(2, 6\); expected",
        ),
        (Forgetting(3), TypeError, "step returned a carry whose leaf tree does not fit"),
        (
            Promoting(3),
            TypeError,
            (
                r"Promoting\(input_size=3\): step turned the carry `h` from float32 into float64; "
                "a carry must keep its dtype"
            ),
        ),
        (
            Failing(3),
            TypeError,
            r"Failing\(input_size=3\): one instant failed for x of shape \(2, 3\)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Leaky) else "",
)
def test_a_step_that_breaks_the_contract(cell, error, message):
    point = random_point(Leaky(3), dtype=np.float32)
    with pytest.raises(error, match=message):
        check_step(cell, *point)
    with pytest.raises(error, match=message):
        unroll(cell, point.params, point.xs)


def test_tokens_in_the_middle_of_a_stack():
    network = jaxrnn.stack(jaxrnn.Linear(3, 5), jaxrnn.OneHot(5))
    params = network.init(jax.random.key(0))
    with pytest.raises(TypeError, match="OneHot.*xs has dtype float64; expected integer token ids"):
        unroll(network, params, XS)


@pytest.mark.parametrize("network", [jaxrnn.reverse(CELL), jaxrnn.bidirectional(CELL)], ids=repr)
def test_what_looks_ahead_has_no_single_instant(network):
    params, carry, xs = random_point(network)
    with pytest.raises(TypeError, match="so it has no single instant; run it over a whole seq"):
        network(params, carry, xs[0])
    with pytest.raises(TypeError, match="no single instant"):
        jaxrnn.stack(network)(*random_point(jaxrnn.stack(network), time=1))
