"""What was given, what was expected, what to do: in one sentence, before anything is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.folds import bptt, rebuilt

CELL = jaxrnn.LSTM(3, 4)
PARAMS = CELL.init(jax.random.key(0))
XS = jnp.zeros((5, 2, 3))
TOKENS = jaxrnn.stack(jaxrnn.Embedding(7, 3), CELL)
TOKEN_PARAMS = TOKENS.init(jax.random.key(0))


def carry(h=(2, 4), c=(2, 4), dtype=float):
    return jaxrnn.LSTMCarry(h=jnp.zeros(h, dtype), c=jnp.zeros(c, dtype))


def raises(error, sentence, call):
    """Exactly this kind of error, from jaxrnn and not from inside JAX, saying exactly this."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert sentence in message, message
    assert caught.type is error
    assert "\n" not in message
    assert "/jaxrnn/" in str(caught.traceback[-1].path).replace("\\", "/")


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
            lambda: jaxrnn.unroll_history(CELL, PARAMS, XS, fold=rebuilt(2)),
            TypeError,
            "use the fold `scan`, whose gradients are the same",
        ),
    ],
)
def test_layers_parameters_and_folds(call, error, sentence):
    raises(error, sentence, call)


ZERO_TO_ONE = "must be a probability, a number in [0, 1]; got"


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        # Sizes.
        (
            lambda: jaxrnn.LSTM(0, 4),
            ValueError,
            "LSTM: input_size must be a positive integer, got 0.",
        ),
        (
            lambda: jaxrnn.GRU(3, -1),
            ValueError,
            "GRU: hidden_size must be a positive integer, got -1.",
        ),
        (
            lambda: jaxrnn.Elman(3, 4.0),
            TypeError,
            "Elman: hidden_size must be a positive integer, got 4.0",
        ),
        (
            lambda: jaxrnn.LSTM(3, True),
            TypeError,
            "LSTM: hidden_size must be a positive integer, got True",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 0),
            ValueError,
            "LSTM: hidden_size must be a positive integer",
        ),
        (
            lambda: jaxrnn.gru_network(3, 4, 0),
            ValueError,
            "gru_network: num_layers must be a positive",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, True),
            TypeError,
            "num_layers must be a positive integer, got T",
        ),
        (
            lambda: jaxrnn.Dropout(0, 0.1),
            ValueError,
            "Dropout: input_size must be a positive integer",
        ),
        # Projections.
        (
            lambda: jaxrnn.lstm_network(3, 4, projection_size=4),
            ValueError,
            "projection_size must be smaller than hidden_size, got 4 and 4; without a projection",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, projection_size=0),
            ValueError,
            "projection_size must be a positive integer, got 0; give None for none.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, projection_size=False),
            TypeError,
            "projection_size must be a positive integer, got False.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, activation=jnp.tanh),
            TypeError,
            "LSTM has no option activation; it has projection_size, use_bias, ",
        ),
        # Torch's words.
        (
            lambda: jaxrnn.lstm_network(3, 8, proj_size=2),
            TypeError,
            "lstm_network: proj_size=2 is torch's word; here give projection_size=2.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 8, proj_size=0),
            TypeError,
            "proj_size=0 is torch's word; here leave it out.",
        ),
        (
            lambda: jaxrnn.gru_network(3, 8, bias=False),
            TypeError,
            "gru_network: bias=False is torch's word; here give use_bias=False.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 8, batch_first=True),
            TypeError,
            "torch's word; here call jaxrnn.unroll(..., time_axis=1).",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 8, batch_first=False),
            TypeError,
            "torch's word; here leave it out, time comes first.",
        ),
        (
            lambda: jaxrnn.elman_network(3, 8, nonlinearity="relu"),
            TypeError,
            "nonlinearity='relu' is torch's word; here give activation=jax.nn.relu.",
        ),
        (
            lambda: jaxrnn.elman_network(3, 8, nonlinearity="tanh"),
            TypeError,
            "here give activation=jnp.tanh.",
        ),
        (
            lambda: jaxrnn.elman_network(3, 8, nonlinearity="selu"),
            TypeError,
            "here give activation=a function such as jnp.tanh or jax.nn.relu.",
        ),
        (
            lambda: jaxrnn.gru_network(3, 8, proj_size=2),
            TypeError,
            "gru_network: GRU has no option proj_size; it has use_bias",
        ),
        (
            lambda: jaxrnn.gru_network(3, 4, projection_size=2),
            TypeError,
            "gru_network: GRU has no option projection_size; it has use_bias, input_init",
        ),
        # Flags and functions.
        (
            lambda: jaxrnn.LSTM(3, 4, use_bias=1),
            TypeError,
            "LSTM: use_bias must be True or False, got 1.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, bidirectional=1),
            TypeError,
            "lstm_network: bidirectional must be True or False, got 1.",
        ),
        (
            lambda: jaxrnn.elman_network(3, 4, activation="gelu"),
            TypeError,
            "Elman: activation must be a function such as jnp.tanh or jax.nn.relu, got 'gelu'.",
        ),
        # Dropout.
        (
            lambda: jaxrnn.lstm_network(3, 4, 2, dropout=1.5),
            ValueError,
            f"dropout {ZERO_TO_ONE} 1.5.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, 2, dropout=True),
            TypeError,
            f"dropout {ZERO_TO_ONE} True.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, 2, dropout="x"),
            TypeError,
            f"dropout {ZERO_TO_ONE} 'x'.",
        ),
        (
            lambda: jaxrnn.lstm_network(3, 4, dropout=0.5),
            ValueError,
            "lstm_network: dropout=0.5 acts between layers, and num_layers=1 has no between; give",
        ),
        (lambda: jaxrnn.Dropout(4, -0.1), ValueError, f"Dropout: rate {ZERO_TO_ONE} -0.1."),
        (
            lambda: jaxrnn.VariationalDropout(4, float("nan")),
            ValueError,
            f"rate {ZERO_TO_ONE} nan.",
        ),
        (lambda: jaxrnn.Zoneout(CELL, 1.2), ValueError, f"Zoneout: hidden_rate {ZERO_TO_ONE} 1.2."),
        (
            lambda: jaxrnn.Zoneout(CELL, 0, True),
            TypeError,
            f"Zoneout: cell_rate {ZERO_TO_ONE} True.",
        ),
        (
            lambda: jaxrnn.StateDropout(CELL, None),
            TypeError,
            f"StateDropout: rate {ZERO_TO_ONE} None.",
        ),
        (
            lambda: jaxrnn.UpdateDropout(CELL, 2),
            ValueError,
            f"UpdateDropout: rate {ZERO_TO_ONE} 2.",
        ),
        (lambda: jaxrnn.WeightDrop(CELL, 2), ValueError, f"WeightDrop: rate {ZERO_TO_ONE} 2."),
        # What goes into what.
        (
            lambda: jaxrnn.Zoneout(jaxrnn.GRU(3, 4), 0.1, 0.1),
            ValueError,
            "has the fields ('h',); zoneout needs h, and c where cell_rate is not 0.",
        ),
        (
            lambda: jaxrnn.Zoneout(jaxrnn.stack(CELL)),
            TypeError,
            "Zoneout wraps one cell, such as LSTM(3, 4)",
        ),
        (
            lambda: jaxrnn.StateDropout(3, 0.1),
            TypeError,
            "StateDropout wraps one cell, such as LSTM(3, 4)",
        ),
        (
            lambda: jaxrnn.UpdateDropout(jaxrnn.Elman(3, 4), 0.1),
            TypeError,
            "Elman(input_size=3, hidden_size=4) is not a GatedCell.",
        ),
        (
            lambda: jaxrnn.WeightDrop(jaxrnn.Linear(3, 4), 0.1),
            ValueError,
            "Linear(input_size=3, output_size=4) has no parameter named recurrent_kernel.",
        ),
        (
            lambda: jaxrnn.stack(),
            ValueError,
            "stack: got no layers; give at least one, as in stack(",
        ),
        (lambda: jaxrnn.stack([CELL]), TypeError, "stack takes layers one by one, not a list."),
        (
            lambda: jaxrnn.stack(CELL, CELL),
            ValueError,
            "writes width 4, but layer 1, LSTM(input_size=3, hidden_size=4), reads input_size=3;",
        ),
        (
            lambda: jaxrnn.bidirectional(CELL, jaxrnn.LSTM(5, 4)),
            ValueError,
            "read the same sequence, but have input_size 3 and 5.",
        ),
        (
            lambda: jaxrnn.bidirectional(CELL, jaxrnn.LSTM(3, 5), jaxrnn.add),
            ValueError,
            "bidirectional: add cannot merge outputs of width 4 and 5",
        ),
        (
            lambda: jaxrnn.residual(CELL),
            ValueError,
            "reads width 3 and writes width 4; the path around it needs vectors of one width.",
        ),
        (lambda: jaxrnn.reverse(None), TypeError, "expected a cell or a network"),
        (lambda: jaxrnn.learned_carry(3), TypeError, "expected a cell or a network"),
        (lambda: jaxrnn.bidirectional(jaxrnn.GRU), TypeError, "got the class GRU; make one first"),
    ],
)
def test_descriptions(make, error, sentence):
    raises(error, sentence, make)


def test_one_instant_of_what_needs_the_whole_sequence():
    for layer in (jaxrnn.reverse(CELL), jaxrnn.bidirectional(CELL)):
        params = layer.init(jax.random.key(0))
        raises(
            TypeError,
            "run it over a whole sequence with jaxrnn.unroll.",
            lambda net=layer, own=params: net(own, net.start(own, (2,)), XS[0]),
        )
