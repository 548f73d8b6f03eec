"""What was given, what was expected, what to do: in one sentence, before anything is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import raises

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, rebuilt

CELL = jaxrnn.LSTM(3, 4)
PARAMS = CELL.init(jax.random.key(0))
XS = jnp.zeros((5, 2, 3))
TOKENS = jaxrnn.stack(jaxrnn.Embedding(7, 3), CELL)
TOKEN_PARAMS = TOKENS.init(jax.random.key(0))


def carry(h=(2, 4), c=(2, 4), dtype=float):
    return jaxrnn.LSTMCarry(h=jnp.zeros(h, dtype), c=jnp.zeros(c, dtype))


def unrolls(xs=XS, carry=None, params=PARAMS, layer=CELL, **options):
    return lambda: jaxrnn.unroll(layer, params, xs, carry, **options)


@pytest.mark.parametrize(
    ("xs", "error", "sentence"),
    [
        (
            jnp.zeros(()),
            ValueError,
            "xs has shape (); expected [time, *batch, 3], at least two axes",
        ),
        (jnp.zeros(3), ValueError, "For one instant call layer(params, carry, x)."),
        (jnp.zeros((5, 2, 7)), ValueError, "last axis is 7 wide; expected input_size=3"),
        (
            jnp.zeros((5, 3, 2)),
            ValueError,
            ("as [time, *batch, 3]. Axis 1 has that width: are the axes in another order?"),
        ),
        (XS.astype("float32"), TypeError, "xs has dtype float32 but the parameters have float64"),
        (XS.astype("float32"), TypeError, "cast one of them, as in xs.astype('float64')"),
        (XS.astype(int), TypeError, "Token ids go through OneHot or Embedding first"),
        (XS > 0, TypeError, "xs has dtype bool; expected floating-point vectors"),
        (XS.astype(complex), TypeError, "xs has dtype complex128; expected floating-point vectors"),
        ("abc", TypeError, "xs must be an array of numbers, [time, *batch, features]; got a value"),
        (None, TypeError, "xs must be an array of numbers"),
        ([[1.0, 2.0], [3.0]], TypeError, "xs must be an array of numbers"),
    ],
)
def test_sequences(xs, error, sentence):
    raises(error, sentence, unrolls(xs))
    if not isinstance(xs, jax.Array) or xs.ndim > 1:
        return
    raises(error, sentence, lambda: jax.jit(unrolls(xs))())


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (carry(h=(2, 5)), ValueError, "carry `h` has shape (2, 5); expected (2, 4)"),
        (carry(c=(2, 5)), ValueError, "carry `c` has shape (2, 5); expected (2, 4)"),
        (carry(h=(3, 4), c=(3, 4)), ValueError, "carry `h` has shape (3, 4); expected (2, 4)"),
        (
            carry(h=(4,), c=(4,)),
            ValueError,
            (
                "carry `h` has shape (4,); expected (2, 4), as from layer.initial_carry((2,)). "
                "The batch axes of xs are (2,): the carry lacks them, or some."
            ),
        ),
        (
            carry(h=(1, 2, 4), c=(1, 2, 4)),
            ValueError,
            "The batch axes of xs are (2,): the carry has more of them.",
        ),
        (
            carry(h=(5, 4), c=(5, 4)),
            ValueError,
            (
                "The batch axes of xs are (2,), after its 5 instants: are time and batch swapped? "
                "time_axis says where time is."
            ),
        ),
        (carry(dtype="float32"), TypeError, "carry `h` has dtype float32, expected float64 as the"),
        (
            carry(dtype=int),
            TypeError,
            "carry `h` has dtype int64, expected float64 as the parameters",
        ),
        ((jnp.zeros((2, 4)), jnp.zeros((2, 4))), TypeError, "expected LSTMCarry(h, c), as from"),
        (jnp.zeros((2, 4)), TypeError, "Got an array of shape (2, 4); expected LSTMCarry(h, c)"),
        (
            jaxrnn.LSTMCarry(jnp.zeros((2, 4)), None),
            TypeError,
            "carry tree does not fit: `c` is missing",
        ),
        (jaxrnn.LSTMCarry(jnp.zeros((2, 4)), 0.0), TypeError, "carry `c` is a value of type float"),
        (
            jaxrnn.GRUCarry(jnp.zeros((2, 4))),
            TypeError,
            "Got GRUCarry(h); expected LSTMCarry(h, c)",
        ),
    ],
)
def test_carries(given, error, sentence):
    raises(error, sentence, unrolls(carry=given))
    raises(error, sentence, lambda: jax.jit(unrolls(carry=given))())


def test_a_carry_with_rows_for_a_sequence_without():
    raises(
        ValueError,
        "carry `h` has shape (2, 4); expected (4,), as from layer.initial_carry(()). "
        "The batch axes of xs are (): the carry has more of them.",
        unrolls(XS[:, 0], carry()),
    )


def test_a_carry_of_a_network_is_named_by_its_place():
    network = jaxrnn.stack(jaxrnn.GRU(3, 3), CELL)
    good = network.initial_carry((2,))
    bad = good._replace(layers=(good.layers[0], carry(c=(2, 5))))
    raises(
        ValueError,
        "carry `layers[1].c` has shape (2, 5); expected (2, 4)",
        unrolls(XS, bad, network.init(jax.random.key(0)), network),
    )


@pytest.mark.parametrize(
    ("lengths", "error", "sentence"),
    [
        ([1, 6], ValueError, "lengths run from 1 to 6; expected 0 to 5, the length of xs."),
        ([-1, 2], ValueError, "lengths run from -1 to 2; expected 0 to 5"),
        (
            [1.0, 2.0],
            TypeError,
            "lengths has dtype float64; expected an array of integers, one per row",
        ),
        ([True, False], TypeError, "lengths has dtype bool; expected an array of integers"),
        ("ab", TypeError, "lengths has dtype"),
        (
            [[1, 2], [3]],
            TypeError,
            "lengths must be an array of integers, one per row of the batch",
        ),
        (3, ValueError, "lengths has shape (); expected (2,), one length per row of the batch."),
        ([1, 2, 3], ValueError, "lengths has shape (3,); expected (2,)"),
        ([[1, 2]], ValueError, "lengths has shape (1, 2); expected (2,)"),
        (
            [1, 2, 1, 2, 1],
            ValueError,
            (
                "expected (2,), one length per row of the batch. xs has 5 instants: are time and "
                "batch "
                "swapped? time_axis says where time is."
            ),
        ),
    ],
)
def test_lengths(lengths, error, sentence):
    raises(error, sentence, unrolls(lengths=lengths))
    for unroll in (jaxrnn.unroll_last, jaxrnn.unroll_history):
        raises(error, sentence, lambda f=unroll: f(CELL, PARAMS, XS, lengths=lengths))
    raises(error, sentence, lambda: jax.jit(unrolls(lengths=lengths))())


@pytest.mark.parametrize("name", ["mask", "resets"])
@pytest.mark.parametrize(
    ("flags", "error", "sentence"),
    [
        (
            jnp.ones((5, 2)),
            TypeError,
            "has dtype float64; expected booleans, one per instant and row.",
        ),
        (np.ones((5, 2), int), TypeError, "has dtype int64; expected booleans"),
        (
            "ab",
            TypeError,
            "must be an array of booleans, one per instant and row; got a value of type",
        ),
        ([[True], [True, False]], TypeError, "must be an array of booleans"),
        (
            jnp.ones(5, bool),
            ValueError,
            "has shape (5,); expected (5, 2), one flag per instant and row",
        ),
        (jnp.ones((4, 2), bool), ValueError, "has shape (4, 2); expected (5, 2)"),
        (jnp.ones((5, 2, 3), bool), ValueError, "with the axes of xs but that of its features."),
        (
            jnp.ones((2, 5), bool),
            ValueError,
            (
                "has shape (2, 5); expected (5, 2), one flag per instant and row, with the axes of "
                "xs "
                "but that of its features. Are its axes in another order? Time is axis 0."
            ),
        ),
    ],
)
def test_masks_and_resets(name, flags, error, sentence):
    raises(
        error,
        f"{name} {sentence}" if sentence.startswith(("has", "must")) else sentence,
        unrolls(**{name: flags}),
    )


def test_a_mask_stands_with_time_where_xs_has_it():
    flags = jnp.ones((5, 2), bool)
    raises(
        ValueError,
        "mask has shape (5, 2); expected (2, 5)",
        unrolls(jnp.zeros((2, 5, 3)), mask=flags, time_axis=1),
    )


def test_lengths_and_mask_together():
    raises(
        ValueError,
        "give lengths or mask, not both: a mask says all that lengths say.",
        unrolls(lengths=[1, 2], mask=jnp.ones((5, 2), bool)),
    )


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (0, "a value of type int"),
        ("key", "a value of type str"),
        (jax.random.split(jax.random.key(0)), "an array of shape (2,)"),
        (jnp.zeros(3, jnp.uint32), "an array of shape (3,)"),
        (np.zeros(2, np.uint32), "an array of shape (2,)"),
    ],
)
def test_keys(key, what):
    raises(
        TypeError,
        f"key must be one random key, as from jax.random.key(0); got {what}.",
        unrolls(key=key),
    )


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_raw_keys_of_any_generator(generator):
    with jax.default_prng_impl(generator):
        assert unrolls(key=jax.random.PRNGKey(0))()[1].shape == (5, 2, 4)


@pytest.mark.parametrize(
    ("time_axis", "error", "sentence"),
    [
        (3, ValueError, "time_axis=3 is outside xs, whose shape is (5, 2, 3)."),
        (-4, ValueError, "time_axis=-4 is outside xs"),
        (1.0, TypeError, "time_axis must be an integer, got 1.0."),
        (True, TypeError, "time_axis must be an integer, got True."),
        (None, TypeError, "time_axis must be an integer, got None."),
    ],
)
def test_time_axes(time_axis, error, sentence):
    raises(error, sentence, unrolls(time_axis=time_axis))


@pytest.mark.parametrize(
    ("tokens", "error", "sentence"),
    [
        (jnp.array([[0, 7]]), ValueError, "xs holds token ids from 0 to 7; expected 0 to 6."),
        (jnp.array([[-1, 2]]), ValueError, "xs holds token ids from -1 to 2; expected 0 to 6."),
        (
            jnp.zeros((5, 2)),
            TypeError,
            "xs has dtype float64; expected integer token ids, [time, *batch].",
        ),
        (jnp.array(3), ValueError, "xs has shape (); expected [time, *batch], at least one axis."),
    ],
)
def test_tokens(tokens, error, sentence):
    raises(error, sentence, unrolls(tokens, None, TOKEN_PARAMS, TOKENS))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (unrolls(layer=jaxrnn.LSTM), TypeError, "got the class LSTM; make one first, as in LSTM("),
        (
            unrolls(layer=None),
            TypeError,
            "expected a cell or a network, such as LSTM(3, 4) or stack",
        ),
        (unrolls(layer=[CELL]), TypeError, "stack takes layers one by one, not a list."),
        (unrolls(params=None), TypeError, "Got a value of type NoneType; expected LSTMParams("),
        (unrolls(params=XS, xs=XS), TypeError, "parameter tree does not fit"),
        (
            unrolls(params=jaxrnn.LSTM(3, 5).init(jax.random.key(0))),
            ValueError,
            "parameter `input_kernel` has shape (3, 20); expected (3, 16)",
        ),
        (
            unrolls(params=jaxrnn.LSTM(3, 4, use_bias=False).init(jax.random.key(0))),
            TypeError,
            (
                "parameter tree does not fit: `bias` is missing. Got LSTMParams(input_kernel, "
                "recurrent_kernel, bias=None)"
            ),
        ),
        (unrolls(fold="scan"), TypeError, "fold must be a function (cell, params, carry, xs)"),
        (
            lambda: jaxrnn.unroll_history(CELL, PARAMS, XS, fold=bptt),
            TypeError,
            "unroll_history: `bptt` and `rebuilt` keep what their derivative needs",
        ),
        (
            lambda: jaxrnn.unroll_history(CELL, PARAMS, XS, fold=checkpointed(2, bptt)),
            TypeError,
            "unroll_history: `bptt` and `rebuilt` keep what their derivative needs",
        ),
        (
            lambda: jaxrnn.unroll_history(CELL, PARAMS, XS, fold=rebuilt(2)),
            TypeError,
            "use the fold `scan`, whose gradients are the same",
        ),
    ],
)
def test_layers_parameters_and_folds(call, error, sentence):
    raises(error, sentence, call)


def test_one_instant_of_what_needs_the_whole_sequence():
    for layer in (jaxrnn.reverse(CELL), jaxrnn.bidirectional(CELL)):
        params = layer.init(jax.random.key(0))
        raises(
            TypeError,
            "run it over a whole sequence with jaxrnn.unroll.",
            lambda net=layer, own=params: net(own, net.start(own, (2,)), XS[0]),
        )
