"""To Keras."""

from typing import Any

import jax
import numpy as np

from jaxrnn.cell import Cell, Layer, parameter_dtype
from jaxrnn.cells import GRU, LSTM, Elman, ProjectedLSTM, ResetBeforeGRU
from jaxrnn.errors import ConversionError
from jaxrnn.interop.gates import reorder
from jaxrnn.interop.keras.names import activations, the_library
from jaxrnn.interop.parts import parts
from jaxrnn.interop.weights import belongs, check_known, refuse
from jaxrnn.networks import (
    Bidirectional,
    Dropout,
    Embedding,
    Linear,
    Reverse,
    add,
    concatenate,
)


def export_keras(network: Layer, params: Any) -> Any:
    """Hand a cell or network over to Keras, as a built model.

    The mapping is that of `import_keras`, read from right to left. On its JAX backend, Keras rounds
    float64 to float32 inside tanh: the weights are exact, but its LSTM and GRU then compute as in
    float32, and its SimpleRNN not at all.

    Args:
      network: an `Elman`, `LSTM`, `GRU`, `ResetBeforeGRU`, `Linear`, `Embedding` or `Dropout`, a
        `bidirectional` of cells of one width (or stacks of such cells) whose merge is `concatenate`
        or `add`, or a `stack` of these. Other noise stays behind: it acts in training only.
      params: its parameters.

    Returns:
      A `keras.Sequential` that maps `[batch, time, features]` (token ids: `[batch, time]`) to the
      outputs at every instant.

    Raises:
      ConversionError: if Keras has no such layer, or the parameters are not the network's.
      MissingExtraError: if Keras is not installed.

    Example:
      >>> import os
      >>> backend = os.environ.setdefault("KERAS_BACKEND", "jax")
      >>> import jax, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.LSTM(3, 4)), jaxrnn.Linear(8, 2))
      >>> params = network.init(jax.random.key(0))
      >>> params = jax.tree.map(lambda weight: weight.astype("float32"), params)
      >>> export_keras(network, params).output_shape
      (None, None, 2)
    """
    keras = the_library()
    belongs(network, params)
    check_known(params)
    dtype = str(parameter_dtype(params))
    exported = [_export(keras, layer, own, dtype) for layer, own in parts(network, params, True)]
    if network.takes_tokens:
        start = keras.Input((None,), dtype="int32")
    else:
        start = keras.Input((None, network.input_size), dtype=dtype)
    # Keras broadcasts as NumPy does, which a strict JAX would refuse.
    with jax.numpy_rank_promotion("allow"):
        model = keras.Sequential([start, *(layer for layer, _ in exported)])
        for _, weights in exported:
            for owner, arrays in weights:
                owner.set_weights(arrays)
    return model


def _export(keras, layer, params, dtype):
    """A Keras layer that is not built yet, and who gets which weights once it is."""
    layers = keras.layers
    if isinstance(layer, Cell):
        return _export_direction(keras, layer, params, dtype)
    if type(layer) is Bidirectional:
        return _export_bidirectional(keras, layer, params, dtype)
    if type(layer) is Dropout:
        return layers.Dropout(layer.rate, dtype=dtype), []
    if type(layer) is Linear:
        made = layers.Dense(layer.output_size, use_bias=layer.use_bias, dtype=dtype)
        return made, [(made, _arrays(params.kernel, params.bias))]
    if type(layer) is Embedding:
        made = layers.Embedding(layer.input_size, layer.output_size, dtype=dtype)
        return made, [(made, _arrays(params.table))]
    refuse(layer, "keras", _REASONS)


def _export_bidirectional(keras, layer, params, dtype):
    merge = {concatenate: "concat", add: "sum"}.get(layer.merge)
    if merge is None or layer.forward.output_size != layer.backward.output_size:
        raise ConversionError(
            f"{layer!r} cannot be exported to keras: its Bidirectional merges two outputs of one "
            "width, and of the merges here knows concatenate and add."
        )
    forward, (weights,) = _export_direction(keras, layer.forward, params.forward, dtype)
    backward, (backward_weights,) = _export_direction(
        keras, layer.backward, params.backward, dtype, go_backwards=True
    )
    made = keras.layers.Bidirectional(
        forward, backward_layer=backward, merge_mode=merge, dtype=dtype
    )
    # Keras reads the layer from the start as a pattern, and makes its own of it.
    return made, [(made.forward_layer, weights[1]), (made.backward_layer, backward_weights[1])]


def _export_direction(keras, network, params, dtype, go_backwards=False):
    """One layer that reads one way: a cell, or a stack of cells."""
    layers = keras.layers
    cells = [(layer, _export_cell(keras, layer, own)) for layer, own in parts(network, params)]
    if not cells:
        refuse(network, "keras", {})
    reading = {"return_sequences": True, "go_backwards": go_backwards, "dtype": dtype}
    if len(cells) == 1:
        ((_, (kind, options, arrays)),) = cells
        made = getattr(layers, kind)(**options, **reading)
        return made, [(made, arrays)]
    inner = [
        getattr(layers, f"{kind}Cell")(**options, dtype=dtype) for _, (kind, options, _) in cells
    ]
    made = layers.RNN(layers.StackedRNNCells(inner, dtype=dtype), **reading)
    return made, [(made, [array for _, (_, _, arrays) in cells for array in arrays])]


def _export_cell(keras, layer, params):
    """The name of Keras's layer, its options, and its weights."""
    # Orthogonal matrices, its default, cannot be drawn in bfloat16; these are replaced in any case.
    options = {"recurrent_initializer": "glorot_uniform"}
    if type(layer) is Elman:
        activation = activations(keras).get(layer.activation)
        if activation is None:
            refuse(layer, "keras", {Elman: "it has no activation of which this is known"})
        kind, options["activation"] = "SimpleRNN", activation
    elif type(layer) is LSTM:
        kind = "LSTM"
    elif type(layer) in (GRU, ResetBeforeGRU):
        kind, options["reset_after"] = "GRU", type(layer) is GRU
    else:
        refuse(layer, "keras", _REASONS)
    options |= {"units": layer.hidden_size, "use_bias": layer.use_bias}
    arrays = _arrays(params.input_kernel, params.recurrent_kernel, params.bias)
    if kind == "GRU":
        arrays = [reorder(array, "rzn", "zrn") for array in arrays]
    if type(layer) is GRU and layer.use_bias:
        of_n = np.asarray(params.recurrent_bias)
        recurrent = np.concatenate([np.zeros_like(of_n), np.zeros_like(of_n), of_n])
        arrays[2] = np.stack([arrays[2], recurrent])
    return kind, options, arrays


def _arrays(*leaves):
    # Copies, because Keras on JAX would go on with the same memory, and donate it to its training.
    return [np.array(leaf) for leaf in leaves if leaf is not None]


_REASONS = {
    ProjectedLSTM: "none of its layers projects the state",
    Reverse: "its layers that read from the end write their outputs in that order; export the "
    "layer inside, and flip what it reads and what it writes",
}
