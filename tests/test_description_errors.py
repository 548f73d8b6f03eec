"""Descriptions that make no sense are refused where they are made, and the message says why."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import raises

import jaxrnn
from jaxrnn.folds import checkpointed, offloaded, spread, truncated

CELL = jaxrnn.LSTM(3, 4)
NAME = re.escape("LSTM(input_size=3, hidden_size=4)")
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


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda n: jaxrnn.Elman(n, 4), "Elman: input_size"),
        (lambda n: jaxrnn.Elman(3, n), "Elman: hidden_size"),
        (lambda n: jaxrnn.LSTM(n, 4), "LSTM: input_size"),
        (lambda n: jaxrnn.LSTM(3, n), "LSTM: hidden_size"),
        (lambda n: jaxrnn.ProjectedLSTM(3, 4, n), "ProjectedLSTM: projection_size"),
        (lambda n: jaxrnn.GRU(n, 4), "GRU: input_size"),
        (lambda n: jaxrnn.GRU(3, n), "GRU: hidden_size"),
        (lambda n: jaxrnn.ResetBeforeGRU(n, 4), "ResetBeforeGRU: input_size"),
        (lambda n: jaxrnn.ResetBeforeGRU(3, n), "ResetBeforeGRU: hidden_size"),
        (lambda n: jaxrnn.Linear(n, 4), "Linear: input_size"),
        (lambda n: jaxrnn.Linear(3, n), "Linear: output_size"),
        (lambda n: jaxrnn.Embedding(n, 4), "Embedding: input_size"),
        (lambda n: jaxrnn.Embedding(3, n), "Embedding: output_size"),
        (lambda n: jaxrnn.OneHot(n), "OneHot: input_size"),
        (lambda n: truncated(n), "truncated: steps"),
        (lambda n: truncated(5, every=n), "truncated: every"),
    ],
)
def test_sizes(make, name):
    for size, error in [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]:
        message = rf"^{name} must be a positive integer, got {re.escape(repr(size))}\.$"
        with pytest.raises(error, match=message):
            make(size)
    with pytest.raises(TypeError, match="must be a positive integer, got '3'"):
        make("3")
    _ = make(np.int64(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: truncated(3, every=4),
            ValueError,
            "truncated: every must be at most steps, got every=4 and steps=3",
        ),
        (lambda: jaxrnn.stack(), ValueError, r"stack: got no layers; give at least one, as in"),
        (
            lambda: jaxrnn.stack(CELL, jaxrnn.GRU(5, 4)),
            ValueError,
            (
                rf"stack: layer 0, {NAME}, writes width 4, but layer 1, GRU\(.*\), reads "
                "input_size=5; make the two equal"
            ),
        ),
        (lambda: jaxrnn.stack(CELL, "LSTM"), TypeError, "expected a cell or a network"),
        (lambda: jaxrnn.stack([CELL, CELL]), TypeError, "got a value of type list"),
        (lambda: jaxrnn.stack(CELL, jaxrnn.GRU), TypeError, "got the class GRU; make one first"),
        (
            lambda: jaxrnn.residual(CELL),
            ValueError,
            rf"residual: {NAME} reads width 3 and writes width 4; the path around it needs vectors",
        ),
        (lambda: jaxrnn.residual(jaxrnn.OneHot(4)), ValueError, r"OneHot\(.*\) reads token ids"),
        (lambda: jaxrnn.residual(jaxrnn.LSTM), TypeError, "got the class LSTM"),
        (lambda: jaxrnn.reverse(None), TypeError, "expected a cell or a network"),
        (lambda: jaxrnn.learned_carry(3), TypeError, "got a value of type int"),
        (
            lambda: jaxrnn.bidirectional(CELL, jaxrnn.GRU(5, 4)),
            ValueError,
            "bidirectional: .* read the same sequence, but have input_size 3 and 5",
        ),
        (
            lambda: jaxrnn.bidirectional(CELL, jaxrnn.GRU(3, 5), merge=jaxrnn.add),
            ValueError,
            "bidirectional: add cannot merge outputs of width 4 and 5",
        ),
        (lambda: jaxrnn.bidirectional(jaxrnn.LSTM), TypeError, "got the class LSTM"),
        (
            lambda: jaxrnn.bidirectional(jaxrnn.stack(jaxrnn.Embedding(5, 4)), jaxrnn.LSTM(5, 4)),
            ValueError,
            "bidirectional: .* one of them reads token ids and the other vectors",
        ),
        (
            lambda: jaxrnn.Linear(3, 4, kernel_init="glorot"),
            TypeError,
            "Linear: kernel_init must be an initializer such as .*, got 'glorot'",
        ),
        (
            lambda: jaxrnn.Embedding(3, 4, table_init=None),
            TypeError,
            "Embedding: table_init must be an initializer",
        ),
        (
            lambda: jaxrnn.learned_carry(CELL, 0.0),
            TypeError,
            "LearnedCarry: start_init must be an initializer",
        ),
        (lambda: spread(4), TypeError, "spread: mesh must be a jax.sharding.Mesh, .* got 4"),
        (
            lambda: spread(jax.make_mesh((1,), ("data",)), 3),
            TypeError,
            "spread: fold must be a function .* got 3",
        ),
        (
            lambda: checkpointed(3, fold=None),
            TypeError,
            "checkpointed: fold must be a function .* got None",
        ),
        (lambda: offloaded(0), ValueError, "offloaded: every must be a positive integer"),
        (
            lambda: jaxrnn.OneHot(5, dtype="int32"),
            ValueError,
            "OneHot: dtype must be .* a floating-point type such as 'float32', got 'int32'",
        ),
        (lambda: jaxrnn.OneHot(5, dtype=jnp.float32), ValueError, "OneHot: dtype must be the name"),
        (
            lambda: jaxrnn.ProjectedLSTM(3, 4, 4),
            ValueError,
            "projection_size must be smaller than hidden_size, got 4 and 4; .* use LSTM",
        ),
    ],
)
def test_descriptions_that_make_no_sense(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_one_hot_and_embedding_do_not_read_the_same_as_vectors():
    with pytest.raises(ValueError, match="read the same sequence"):
        jaxrnn.bidirectional(jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.LSTM(3, 4)), jaxrnn.LSTM(3, 4))
