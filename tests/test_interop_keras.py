"""Keras layers through our converter: values, last state and gradients, in float64."""

import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point

import jaxrnn
from jaxrnn.errors import ConversionError, MissingExtraError
from jaxrnn.interop.keras import export_keras, import_keras

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras is not installed")
if keras.backend.backend() != "jax":
    pytest.skip("keras runs on another backend than jax here", allow_module_level=True)

layers = keras.layers
F64 = {"dtype": "float64"}
BOTH = {"return_sequences": True, "return_state": True, **F64}
XS = random_like(jax.ShapeDtypeStruct((2, 5, 3), np.float64), 1)  # [batch, time, features]
IDS = np.random.default_rng(0).integers(1, 6, size=(2, 5))


@pytest.fixture(autouse=True)
def _keras_as_it_is_meant(monkeypatch):
    """Keras broadcasts, and on JAX rounds float64 to float32 inside tanh; not while we compare."""
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with jax.numpy_rank_promotion("allow"):
        yield


def randomized(layer, shape=(2, 5, 3), seed=0):
    """The layer, built, with random weights: Keras draws zeros for biases."""
    if not layer.built:
        layer.build(shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(jnp.asarray(0.5 * rng.standard_normal(weight.shape), weight.dtype))
    return layer


def bidirectional(forward, backward=None, **options):
    return layers.Bidirectional(forward, backward_layer=backward, **options, **F64)


LAYERS = {
    "SimpleRNN": lambda: layers.SimpleRNN(4, **BOTH),
    "SimpleRNN relu": lambda: layers.SimpleRNN(4, activation="relu", use_bias=False, **BOTH),
    "LSTM": lambda: layers.LSTM(4, dropout=0.5, **BOTH),
    "GRU": lambda: layers.GRU(4, **BOTH),
    "GRU without bias": lambda: layers.GRU(4, use_bias=False, recurrent_dropout=0.5, **BOTH),
    "GRU before": lambda: layers.GRU(4, reset_after=False, **BOTH),
    "RNN of cells": lambda: layers.RNN(
        layers.StackedRNNCells([layers.LSTMCell(4, **F64), layers.GRUCell(3, **F64)], **F64),
        **BOTH,
    ),
    "both ways, unlike, added": lambda: bidirectional(
        layers.GRU(4, **BOTH),
        layers.GRU(4, reset_after=False, go_backwards=True, **BOTH),
        merge_mode="sum",
    ),
}


def carry_of(network, states):
    """Keras's flat states as our carry: the leaves come in the same order."""
    like = jax.eval_shape(lambda: network.initial_carry((2,)))
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(states))


@pytest.mark.parametrize("name", LAYERS)
def test_values_last_state_and_gradients(name):
    layer = randomized(LAYERS[name]())
    network, params = import_keras(layer)
    start = random_like(jax.eval_shape(lambda: network.initial_carry((2,))), 3)
    states = jax.tree.leaves(start)
    if "cells" in name:  # Keras nests the states of a cell.
        states = [[states[0], states[1]], [states[2]]]

    def theirs(weights, xs, states):
        rest = [v.value for v in layer.non_trainable_variables]
        out, _ = layer.stateless_call(weights, rest, xs, initial_state=states)
        return out[0], carry_of(network, out[1:])

    def ours(params, xs, carry):
        return jaxrnn.unroll(network, params, xs, carry, time_axis=1)[::-1]

    weights = [v.value for v in layer.trainable_variables]
    expected, pull_theirs = jax.vjp(jax.jit(theirs), weights, XS, states)
    actual, pull_ours = jax.vjp(jax.jit(ours), params, XS, start)
    assert_close(actual, expected)
    probe = random_like(jax.eval_shape(lambda: expected), 4)
    d_weights, d_xs, d_states = pull_theirs(probe)
    d_params, our_d_xs, d_carry = pull_ours(probe)
    assert_close(our_d_xs, d_xs)
    assert_close(d_carry, carry_of(network, d_states))
    # Gradients have the shapes of weights, so they go through the converter as weights do; but of
    # two biases that are added, each has the gradient of the sum.
    for weight, gradient in zip(layer.trainable_variables, d_weights, strict=True):
        if gradient.ndim == 2 and weight.name == "bias":
            of_zr = gradient.shape[1] // 3 * 2
            np.testing.assert_allclose(gradient[0, :of_zr], gradient[1, :of_zr], rtol=1e-12)
            gradient = gradient.at[1, :of_zr].set(0)
        weight.assign(gradient)
    assert_close(d_params, import_keras(layer)[1])


def sequential(*stacked, shape=(None, 3), dtype="float64"):
    return randomized(keras.Sequential([keras.Input(shape, dtype=dtype), *stacked]))


def unrolled(network, params, xs, **options):
    return jaxrnn.unroll(network, params, jnp.asarray(xs), time_axis=1, **options)[1]


def test_a_model_with_tokens_masked_by_keras_and_by_unroll():
    model = sequential(
        layers.Embedding(6, 3, mask_zero=True, **F64),
        layers.Dropout(0.5, **F64),
        layers.Bidirectional(layers.GRU(4, return_sequences=True, **F64), **F64),
        layers.SpatialDropout1D(0.25, **F64),
        layers.LSTM(5, return_sequences=True, zero_output_for_mask=True, **F64),
        shape=(None,),
        dtype="int64",
    )
    network, params = import_keras(model)
    assert network == jaxrnn.stack(
        jaxrnn.Embedding(6, 3),
        jaxrnn.Dropout(3, 0.5),
        jaxrnn.bidirectional(jaxrnn.GRU(3, 4)),
        jaxrnn.VariationalDropout(8, 0.25),
        jaxrnn.LSTM(8, 5),
    )
    ids = IDS.copy()
    ids[1, 3:] = 0
    expected = model(ids)
    assert_close(unrolled(network, params, ids, mask=ids != 0), expected)
    assert_close(unrolled(network, params, ids, lengths=[5, 3]), expected)


def test_last_outputs_only_and_what_may_stand_above_them():
    model = sequential(
        layers.GRU(4, **F64),
        layers.Dropout(0.5, **F64),
        layers.Dense(2, use_bias=False, **F64),
    )
    network, params = import_keras(model)
    _, y = jaxrnn.unroll_last(network, params, XS, time_axis=1)
    assert_close(y, model(XS))


def test_time_distributed_and_dense_are_linear():
    model = sequential(
        layers.TimeDistributed(layers.Dense(4, **F64), **F64), layers.Dense(2, **F64)
    )
    network, params = import_keras(model)
    assert network == jaxrnn.stack(jaxrnn.Linear(3, 4), jaxrnn.Linear(4, 2))
    assert_close(unrolled(network, params, XS), model(XS))


def test_activations_are_the_same_functions(key):
    from jaxrnn.interop.keras.names import activations

    z = jnp.linspace(-3.0, 3.0, 24)
    for ours, theirs in activations(keras).items():
        got, want = (jax.vjp(function, z) for function in (ours, theirs))
        assert_close(got[0], want[0])
        assert_close(got[1](jnp.cos(z)), want[1](jnp.cos(z)))
        options = {"activation": theirs, "recurrent_initializer": "zeros"}
        assert import_keras(built(layers.SimpleRNNCell(2, **options)))[0].activation is ours


def test_a_mixed_policy_keeps_its_weights():
    layer = randomized(layers.Dense(4, dtype="mixed_bfloat16"))
    assert {leaf.dtype for leaf in import_keras(layer)[1]} == {jnp.dtype("float32")}


def test_a_stateful_layer_is_taken_between_sequences_only():
    layer = layers.LSTM(4, stateful=True, return_sequences=True, **F64)
    randomized(layer)
    assert import_keras(layer)[0] == jaxrnn.LSTM(3, 4)
    layer(XS)
    with pytest.raises(
        ConversionError, match=r"stateful and in the middle .* call its reset_state"
    ):
        import_keras(layer)
    layer.reset_state()
    assert import_keras(layer)[0] == jaxrnn.LSTM(3, 4)


NETWORKS = {
    "every cell": jaxrnn.stack(
        jaxrnn.Elman(3, 4, activation=jax.nn.sigmoid),
        jaxrnn.LSTM(4, 3),
        jaxrnn.Dropout(3, 0.5),
        jaxrnn.GRU(3, 4),
        jaxrnn.ResetBeforeGRU(4, 3),
        jaxrnn.Linear(3, 2),
    ),
    "without biases": jaxrnn.stack(
        jaxrnn.Elman(3, 4, use_bias=False),
        jaxrnn.LSTM(4, 3, use_bias=False),
        jaxrnn.GRU(3, 4, use_bias=False),
        jaxrnn.ResetBeforeGRU(4, 3, use_bias=False),
        jaxrnn.Linear(3, 2, use_bias=False),
    ),
    "both ways": jaxrnn.stack(
        jaxrnn.Embedding(6, 3),
        jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4)),
        jaxrnn.bidirectional(
            jaxrnn.stack(jaxrnn.LSTM(8, 5), jaxrnn.Elman(5, 4)),
            jaxrnn.ResetBeforeGRU(8, 4),
            merge=jaxrnn.add,
        ),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_networks_compute_the_same(name):
    network = NETWORKS[name]
    params = random_point(network).params
    model = export_keras(network, params)
    xs = IDS if network.takes_tokens else XS
    assert_close(model(xs), unrolled(network, params, xs))
    again, restored = import_keras(model)
    assert again == network
    jax.tree.map(np.testing.assert_array_equal, restored, params)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_round_trips_keep_every_bit(dtype):
    network = jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Linear(4, 3), jaxrnn.LSTM(3, 4))
    params = random_point(network, dtype=dtype).params
    model = export_keras(network, params)
    assert model.output_shape == (None, None, 4)
    again, restored = import_keras(model)
    assert again == network
    assert {leaf.dtype for leaf in jax.tree.leaves(restored)} == {jnp.dtype(dtype)}
    jax.tree.map(np.testing.assert_array_equal, restored, params)


def test_float64_as_keras_does_it_on_jax(monkeypatch, key):
    """Without what the fixture does, gated cells agree to float32."""
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float32")
    network = jaxrnn.LSTM(3, 4)
    params = network.init(key)
    assert_close(export_keras(network, params)(XS), unrolled(network, params, XS), tolerance=1e-6)


def test_a_swapped_gate_is_seen(monkeypatch):
    from jaxrnn.interop.keras import importer

    monkeypatch.setattr(importer, "reorder", lambda blocks, source, target: blocks)
    with pytest.raises(AssertionError, match="differs by"):
        test_values_last_state_and_gradients("GRU")


class OwnLSTM(layers.LSTM):
    """A subclass may compute anything."""


def built(layer, shape=(2, 5, 3)):
    layer.build(shape)
    return layer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "LSTM", "str has no counterpart in jaxrnn; expected one of keras's Sequential"),
        (lambda: built(OwnLSTM(4)), "keras OwnLSTM 'own_lstm.*' has no counterpart in jaxrnn"),
        (lambda: layers.LayerNormalization(), "LayerNormalization .* has no counterpart"),
        (lambda: layers.ConvLSTM1D(4, 3), "ConvLSTM1D .* has no counterpart"),
        (
            lambda: layers.TimeDistributed(layers.Conv1D(4, 3)),
            "keras TimeDistributed .* has no counterpart",
        ),
        (lambda: layers.LSTM(4), "keras LSTM .* is not built, so it has no weights yet"),
        (lambda: built(layers.LSTM(4, activation="relu")), "has activation relu; expected tanh"),
        (
            lambda: built(layers.GRU(4, recurrent_activation="hard_sigmoid")),
            "has recurrent_activation hard_sigmoid; expected sigmoid",
        ),
        (
            lambda: built(layers.SimpleRNN(4, activation="gelu")),
            "has the activation gelu; expected one of tanh, relu, sigmoid",
        ),
        (
            lambda: built(layers.Dense(4, activation="softmax")),
            "activation softmax; expected linear",
        ),
        (
            lambda: built(layers.GRU(4, go_backwards=True)),
            "set it to False, and put jaxrnn.reverse",
        ),
        (
            lambda: built(
                layers.Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode="ave")
            ),
            "has merge_mode='ave'; expected 'concat' or 'sum'",
        ),
        (
            lambda: built(layers.Bidirectional(layers.LSTM(4))),
            "return_sequences=False, and merges the last output of each direction",
        ),
        (
            lambda: built(
                layers.Bidirectional(
                    layers.GRU(4, return_sequences=True, go_backwards=True),
                    backward_layer=layers.GRU(4, return_sequences=True),
                )
            ),
            "has go_backwards=True, and writes its outputs in the order of its reading",
        ),
        (
            lambda: keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Reshape((4, 1))]),
            "has return_sequences=False, so keras Reshape .* above it reads one vector",
        ),
        (
            lambda: keras.Sequential([keras.Input((5, 3)), layers.Dropout(0.5), layers.Dense(4)]),
            "stands below all layers, where its width is not to be seen",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((5, 3)), layers.Dense(4), layers.Dropout(0.5, noise_shape=(1, 5, 1))]
            ),
            r"has noise_shape=\(1, 5, 1\); expected a Dropout without one",
        ),
        (lambda: built(layers.Dense(4, lora_rank=2)), "weight 'lora_kernel_a' is not known here"),
        (lambda: keras.Sequential([keras.Input((5, 3))]), "got no layers; give at least one"),
    ],
)
def test_what_cannot_be_imported_is_refused(make, message):
    with pytest.raises(ConversionError, match=message):
        import_keras(make())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (jaxrnn.ProjectedLSTM(3, 4, 2), "none of its layers projects the state"),
        (jaxrnn.reverse(jaxrnn.LSTM(3, 4)), "write their outputs in that order"),
        (jaxrnn.learned_carry(jaxrnn.LSTM(3, 4)), "a learned start has no place there"),
        (jaxrnn.residual(jaxrnn.LSTM(3, 3)), "no layer has a path around it there"),
        (jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), hidden_rate=0.1), "mixes old and new states"),
        (jaxrnn.OneHot(3), "it has no weights"),
        (jaxrnn.Elman(3, 4, activation=jnp.sin), "no activation of which this is known"),
        (
            jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.LSTM(3, 5)),
            "merges two outputs of one width",
        ),
        (
            jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), merge=jnp.multiply),
            "of the merges here knows concatenate and add",
        ),
        (
            jaxrnn.bidirectional(jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 2))),
            "keras has nothing with its equations",
        ),
    ],
)
def test_what_keras_cannot_express_is_refused(network, message, key):
    for layer in (network, jaxrnn.stack(network)):
        with pytest.raises(ConversionError, match=f"cannot be exported to keras: .*{message}"):
            export_keras(layer, layer.init(key))


def test_parameters_of_another_network_are_refused(key):
    cell = jaxrnn.LSTM(3, 4)
    with pytest.raises(ConversionError, match=r"parameter `input_kernel` .*\(5, 16\)"):
        export_keras(cell, jaxrnn.LSTM(5, 4).init(key))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_quantized_weights_are_refused():
    layer = built(layers.Dense(4))
    layer.quantize("int8")
    with pytest.raises(ConversionError, match="weight 'kernel_scale' is not known here"):
        import_keras(layer)


def test_a_missing_keras_or_backend_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[keras\]'"):
        import_keras(None)
