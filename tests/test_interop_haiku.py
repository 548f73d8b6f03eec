"""Haiku's modules through our converter: values, last state and gradients, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point, run

import jaxrnn
from jaxrnn.errors import ConversionError
from jaxrnn.interop.haiku import export_haiku, import_haiku

hk = pytest.importorskip("haiku", reason="dm-haiku is not installed")

XS = random_like(jax.ShapeDtypeStruct((5, 2, 3), np.float64), 1)
IDS = jnp.asarray(np.random.default_rng(0).integers(6, size=(5, 2)))

# What makes the modules, and the names and classes that they get.
MODULES = {
    "VanillaRNN": (lambda: [hk.VanillaRNN(4)], {"vanilla_rnn": "VanillaRNN"}),
    "one bias": (lambda: [hk.VanillaRNN(4, double_bias=False)], {"vanilla_rnn": "VanillaRNN"}),
    "LSTM": (lambda: [hk.LSTM(4)], {"lstm": "LSTM"}),
    "GRU": (lambda: [hk.GRU(4)], {"gru": "GRU"}),
    "deep": (
        lambda: [hk.LSTM(4), hk.GRU(3), hk.LSTM(5), hk.VanillaRNN(4), hk.Linear(2)],
        {
            "lstm": "LSTM",
            "gru": "GRU",
            "lstm_1": "LSTM",
            "vanilla_rnn": "VanillaRNN",
            "linear": "Linear",
        },
    ),
    "tokens": (
        lambda: [
            hk.Embed(6, 3),
            hk.GRU(4, name="memory"),
            hk.Linear(2),
            hk.Linear(6, with_bias=False),
        ],
        {"embed": "Embed", "memory": "GRU", "linear": "Linear", "linear_1": "Linear"},
    ),
}


def unrolled(make):
    """A Haiku function: the modules chained, from a given state."""

    def forward(xs, state):
        core = hk.DeepRNN(make())
        return hk.dynamic_unroll(core, xs, core.initial_state(2) if state is None else state)

    return hk.without_apply_rng(hk.transform(forward))


def carry_of(state, network):
    """Haiku's state as our carry; modules without a state have none in Haiku's tuple."""
    states = iter(state)
    layers = []
    for layer in getattr(network, "layers", [network]):
        match layer:
            case jaxrnn.LSTM():
                layers.append(jaxrnn.LSTMCarry(*next(states)))
            case jaxrnn.ResetBeforeGRU():
                layers.append(jaxrnn.GRUCarry(h=next(states)))
            case jaxrnn.Elman():
                layers.append(jaxrnn.ElmanCarry(h=next(states)))
            case _:
                layers.append(())
    if isinstance(network, jaxrnn.Stack):
        return network.initial_carry(())._replace(layers=tuple(layers))
    return layers[0]


@pytest.mark.parametrize("name", MODULES)
def test_values_last_state_and_gradients(name):
    make, modules = MODULES[name]
    forward = unrolled(make)
    tokens = name == "tokens"
    xs = IDS if tokens else XS
    theirs = random_like(jax.eval_shape(forward.init, jax.random.key(0), xs, None), 2, 0.5)
    network, _ = import_haiku(theirs, modules)
    state = random_like(jax.eval_shape(forward.apply, theirs, xs, None)[1], 3)

    (ys, last), pull_theirs = jax.vjp(
        jax.jit(lambda p, xs, s: forward.apply(p, xs, s)), theirs, xs, state
    )
    # Our side is a function of Haiku's parameters, so its gradients come through the converter.
    (our_ys, our_last), pull_ours = jax.vjp(
        jax.jit(
            lambda p, xs, s: jaxrnn.unroll(
                network, import_haiku(p, modules)[1], xs, carry_of(s, network)
            )[::-1]
        ),
        theirs,
        xs,
        state,
    )
    assert_close(our_ys, ys)
    assert_close(our_last, carry_of(last, network))
    probe_ys, probe_last = random_like(jax.eval_shape(lambda: (ys, last)), 4)
    expected = pull_theirs((probe_ys, probe_last))
    actual = pull_ours((probe_ys, carry_of(probe_last, network)))
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected))
    assert jax.tree.leaves(actual[0])  # There was something to compare.


EXPORTED = {
    "chain": jaxrnn.stack(
        jaxrnn.LSTM(3, 4),
        jaxrnn.Dropout(4, 0.5),
        jaxrnn.ResetBeforeGRU(4, 3),
        jaxrnn.LSTM(3, 4),
        jaxrnn.Elman(4, 5, activation=jax.nn.relu),
        jaxrnn.Linear(5, 2),
        jaxrnn.Linear(2, 3, use_bias=False),
    ),
    "without biases": jaxrnn.stack(
        jaxrnn.LSTM(3, 4, use_bias=False),
        jaxrnn.ResetBeforeGRU(4, 3, use_bias=False),
        jaxrnn.Elman(3, 5, activation=jax.nn.relu, use_bias=False),
    ),
}
MAKES = {
    "chain": lambda: [
        hk.LSTM(4),
        hk.GRU(3),
        hk.LSTM(4),
        hk.VanillaRNN(5),
        hk.Linear(2),
        hk.Linear(3, with_bias=False),
    ],
    "without biases": lambda: [hk.LSTM(4), hk.GRU(3), hk.VanillaRNN(5)],
}


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_networks_are_haikus_own_modules(name):
    network = EXPORTED[name]
    point = random_point(network)._replace(xs=XS)
    zeros = jax.tree.map(jnp.zeros_like, point.carry)
    params = export_haiku(network, point.params)
    forward = unrolled(MAKES[name])
    made = jax.eval_shape(forward.init, jax.random.key(0), XS, None)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, made)
    ys, _ = jax.jit(forward.apply)(params, XS, None)
    assert_close(run(network, point._replace(carry=zeros))[1], ys)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_round_trips_keep_every_bit_but_those_of_the_bias_of_f(dtype):
    network = jaxrnn.stack(
        jaxrnn.Embedding(6, 3),
        jaxrnn.LSTM(3, 4),
        jaxrnn.ResetBeforeGRU(4, 3),
        jaxrnn.Elman(3, 5, activation=jax.nn.relu),
        jaxrnn.Linear(5, 2),
    )
    params = random_point(network, dtype=dtype).params
    classes = ["Embed", "LSTM", "GRU", "VanillaRNN", "Linear"]
    names = list("abcde")
    exported = export_haiku(network, params, names)
    again, restored = import_haiku(exported, dict(zip(names, classes, strict=True)))
    assert again == network
    assert {leaf.dtype for leaf in jax.tree.leaves((exported, restored))} == {jnp.dtype(dtype)}
    # 1 is taken from the bias of f and added again, which rounds to the spacing of numbers near 1.
    f = params.layers[1].bias[4:8]
    restored_f = restored.layers[1].bias[4:8]
    assert np.abs((restored_f - f).astype("float64")).max() <= 2 * float(jnp.finfo(dtype).eps)
    lstm = restored.layers[1]._replace(bias=restored.layers[1].bias.at[4:8].set(f))
    restored = restored._replace(layers=(restored.layers[0], lstm, *restored.layers[2:]))
    jax.tree.map(np.testing.assert_array_equal, restored, params)


def test_a_swapped_gate_is_seen(monkeypatch):
    from jaxrnn.interop import haiku

    monkeypatch.setattr(haiku, "reorder", lambda blocks, source, target: blocks)
    with pytest.raises(AssertionError, match="differs by"):
        test_values_last_state_and_gradients("LSTM")


LSTM_WEIGHTS = {"lstm/linear": {"w": jnp.ones((7, 16)), "b": jnp.ones(16)}}
GRU_WEIGHTS = {"gru": {"w_i": jnp.ones((3, 12)), "w_h": jnp.ones((4, 12)), "b": jnp.ones(12)}}


@pytest.mark.parametrize(
    ("params", "modules", "message"),
    [
        (LSTM_WEIGHTS, {}, "modules are {}; say which to take, as in {'lstm': 'LSTM'}"),
        (LSTM_WEIGHTS, ["lstm"], r"modules are \['lstm'\]; say which"),
        ({"lstm": jnp.ones(3)}, {"lstm": "LSTM"}, "params are no dictionary of dictionaries"),
        (LSTM_WEIGHTS, {"gru": "GRU"}, "there is no module 'gru' in lstm/linear"),
        (LSTM_WEIGHTS, {"lstm": "Conv1DLSTM"}, "'lstm' is said to be of class 'Conv1DLSTM'"),
        (
            {"lstm/linear": {"w": jnp.ones((7, 16))}},
            {"lstm": "LSTM"},
            "haiku LSTM 'lstm': weight 'linear/b' is missing; expected linear/w, linear/b",
        ),
        (
            {"lstm/linear": {"b": jnp.ones(16)}},
            {"lstm": "LSTM"},
            "haiku LSTM 'lstm': weight 'linear/w' is missing",
        ),
        (
            {"lstm/linear": {**LSTM_WEIGHTS["lstm/linear"], "p": jnp.ones(4)}},
            {"lstm": "LSTM"},
            "weight 'linear/p' is not known here; expected linear/w, linear/b",
        ),
        (
            {"lstm/linear": {"w": jnp.ones((7, 15)), "b": jnp.ones(16)}},
            {"lstm": "LSTM"},
            r"'linear/w' has shape \(7, 15\); expected a matrix with as many columns",
        ),
        (
            {"lstm/linear": {"w": jnp.ones((7, 16)), "b": jnp.ones(12)}},
            {"lstm": "LSTM"},
            r"'linear/b' has shape \(12,\); expected \(16,\)",
        ),
        (
            {"lstm/linear": {"w": jnp.ones((4, 16)), "b": jnp.ones(16)}},
            {"lstm": "LSTM"},
            "expected rows for the input above those of the 4 units",
        ),
        (
            {"gru": {**GRU_WEIGHTS["gru"], "w_h": jnp.ones((3, 12))}},
            {"gru": "GRU"},
            r"'w_h' has shape \(3, 12\); expected \(4, 12\)",
        ),
        (
            {"linear": {"w": np.ones((3, 4), int)}},
            {"linear": "Linear"},
            "'w' has dtype int64; expected an array of floating-point numbers",
        ),
        (
            LSTM_WEIGHTS | {"linear": {"w": jnp.ones((3, 2))}},
            {"lstm": "LSTM", "linear": "Linear"},
            "writes width 4, but .* reads input_size=3",
        ),
        (
            LSTM_WEIGHTS | {"embed": {"embeddings": jnp.ones((4, 2))}},
            {"lstm": "LSTM", "embed": "Embed"},
            "reads token ids, and stands above another layer",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused(params, modules, message):
    with pytest.raises(ConversionError, match=message):
        import_haiku(params, modules)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (jaxrnn.GRU(3, 4), "resets the state before the product, this cell after it"),
        (jaxrnn.Elman(3, 4), "hk.VanillaRNN has relu and no other activation"),
        (jaxrnn.ProjectedLSTM(3, 4, 2), "haiku has nothing with its equations"),
        (jaxrnn.bidirectional(jaxrnn.LSTM(3, 4)), "no module of it reads from the end"),
        (jaxrnn.reverse(jaxrnn.LSTM(3, 4)), "no module of it reads from the end"),
        (jaxrnn.learned_carry(jaxrnn.LSTM(3, 4)), "a learned start has no place there"),
        (jaxrnn.residual(jaxrnn.LSTM(4, 4)), "no layer has a path around it there"),
        (
            jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), hidden_rate=0.1),
            "mixes old and new states by its rates",
        ),
        (jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4)), "is the other library's choice"),
        (jaxrnn.OneHot(3), "it has no weights"),
    ],
)
def test_what_haiku_cannot_express_is_refused(network, message, key):
    for layer in (network, jaxrnn.stack(network)):
        with pytest.raises(ConversionError, match=f"cannot be exported to haiku: .*{message}"):
            export_haiku(layer, layer.init(key))


def test_parameters_and_names_that_do_not_fit_are_refused(key):
    cell = jaxrnn.LSTM(3, 4)
    with pytest.raises(ConversionError, match=r"parameter `input_kernel` .*\(5, 16\)"):
        export_haiku(cell, jaxrnn.LSTM(5, 4).init(key))
    with pytest.raises(ConversionError, match="expected 1 different ones"):
        export_haiku(cell, cell.init(key), ["a", "b"])


def test_float64_is_not_rounded_in_silence():
    weights = {"linear": {"w": np.ones((3, 4))}}
    with jax.enable_x64(False), pytest.raises(ConversionError, match="jax_enable_x64"):
        import_haiku(weights, {"linear": "Linear"})


def test_noise_stays_behind(key):
    network = jaxrnn.WeightDrop(jaxrnn.StateDropout(jaxrnn.LSTM(3, 4), rate=0.5), rate=0.5)
    assert list(export_haiku(network, network.init(key))) == ["lstm/linear"]
