"""Keras layers through our converter: values, last state and gradients, in float64."""

import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point, run

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
    "LSTM": lambda: layers.LSTM(4, **BOTH),
    "LSTM without bias": lambda: layers.LSTM(4, use_bias=False, dropout=0.5, **BOTH),
    "GRU": lambda: layers.GRU(4, **BOTH),
    "GRU without bias": lambda: layers.GRU(4, use_bias=False, recurrent_dropout=0.5, **BOTH),
    "GRU before": lambda: layers.GRU(4, reset_after=False, **BOTH),
    "GRU before without bias": lambda: layers.GRU(4, reset_after=False, use_bias=False, **BOTH),
    "RNN of a cell": lambda: layers.RNN(layers.LSTMCell(4, **F64), **BOTH),
    "RNN of cells": lambda: layers.RNN(
        layers.StackedRNNCells(
            [layers.LSTMCell(4, **F64), layers.GRUCell(3, **F64), layers.SimpleRNNCell(2, **F64)],
            **F64,
        ),
        **BOTH,
    ),
    "both ways": lambda: bidirectional(layers.LSTM(4, **BOTH)),
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
        states = [[states[0], states[1]], [states[2]], [states[3]]]

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
