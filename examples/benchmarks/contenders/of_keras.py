"""Keras on JAX: its layers in a `Sequential`, whose `stateless_call` is compiled."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from jobs import Equations, Model, Skip  # noqa: E402
from weights import Direction, Layers  # noqa: E402

from contenders import Ready, jax_works  # noqa: E402

CELLS = {"LSTM": "LSTM", "GRU": "GRU", "Elman": "SimpleRNN"}


def equations(model: Model) -> Equations:
    """One bias, but two for all gates of a GRU."""
    return Equations("all" if model.cell == "GRU" else "none")


def build(work: str, model: Model) -> Ready:
    """The works; keras reads the batch first."""
    if keras.backend.backend() != "jax":
        raise Skip(f"keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=jax.")
    batch, time, width, layers = model.size
    network = keras.Sequential([keras.layers.Input((time, width), batch_size=batch)])
    for _ in range(layers):
        layer = getattr(keras.layers, CELLS[model.cell])(width, return_sequences=True)
        network.add(keras.layers.Bidirectional(layer) if model.directions == 2 else layer)
    rest = [variable.value for variable in network.non_trainable_variables]

    def apply(params, xs):
        return network.stateless_call(params, rest, xs)[0]

    adapter = jax_works.Network(lambda layers: write(model, layers), apply, time_axis=1)
    return jax_works.build(work, model, equations(model), adapter)


def write(model: Model, layers: Layers) -> list[np.ndarray]:
    """As keras lists its variables; the GRU's gates are z r n."""
    width = model.size.width

    def cell(weights: Direction) -> list[np.ndarray]:
        if model.cell != "GRU":
            return [weights.w, weights.r, weights.b]

        def ordered(array):
            r, z, n = (array[..., gate * width : (gate + 1) * width] for gate in range(3))
            return np.concatenate([z, r, n], axis=-1)

        biases = np.stack([ordered(weights.b), ordered(weights.c)])
        return [ordered(weights.w), ordered(weights.r), biases]

    return [array for layer in layers for weights in layer for array in cell(weights)]
