"""From Keras."""

from typing import Any

import jax
import numpy as np

from jaxrnn.cell import Layer
from jaxrnn.cells import (
    GRU,
    LSTM,
    Elman,
    ElmanParams,
    GRUParams,
    LSTMParams,
    ResetBeforeGRU,
    ResetBeforeGRUParams,
)
from jaxrnn.errors import ConversionError
from jaxrnn.interop.gates import reorder
from jaxrnn.interop.keras.names import activations, called, label, the_library
from jaxrnn.interop.parts import Part
from jaxrnn.interop.weights import chain, take
from jaxrnn.networks import (
    BidirectionalParams,
    Dropout,
    Embedding,
    EmbeddingParams,
    Linear,
    LinearParams,
    VariationalDropout,
    add,
    bidirectional,
    concatenate,
)


def import_keras(layer: Any) -> tuple[Layer, Any]:
    """Take over a built Keras layer or `Sequential` model with its weights.

    | Keras | here |
    |---|---|
    | `SimpleRNN` | `Elman`, with the same activation |
    | `LSTM` | `LSTM`, gates in the same order |
    | `GRU` | `GRU`: gates z, r, h; of the two rows of bias those of z and r are added |
    | `GRU(reset_after=False)` | `ResetBeforeGRU` |
    | `SimpleRNNCell`, `LSTMCell`, `GRUCell`, `RNN(cell)` | likewise |
    | `StackedRNNCells`, `RNN([cell, …])` | `stack` |
    | `Bidirectional(merge_mode="concat")`, `"sum"` | `bidirectional` with `concatenate`, `add` |
    | `Embedding`, `Dense`, `TimeDistributed(Dense)` | `Embedding`, `Linear` |
    | `Dropout`, `SpatialDropout1D` | `Dropout`, `VariationalDropout`; they act given a key |
    | `Sequential` | `stack` |

    What Keras says elsewhere, `unroll` is told in its call: `mask_zero=True` of an `Embedding` is
    `mask=ids != 0`; `stateful=True` is handing on the carry; `return_sequences=False` is
    `unroll_last`; `initial_state` is `carry`, h before c. `dropout` and `recurrent_dropout` of a
    recurrent layer, initializers, regularizers and constraints act in training only, and stay
    behind. Under a mixed policy the weights come in the dtype that Keras keeps them in; see
    `MixedPrecision` for products in a narrower one.

    Args:
      layer: the layer, cell or model.

    Returns:
      The network and its parameters, in the dtypes of Keras's variables.

    Raises:
      ConversionError: if something has no counterpart here, or a weight does not have its shape.
      MissingExtraError: if Keras is not installed.

    Example:
      >>> import os
      >>> backend = os.environ.setdefault("KERAS_BACKEND", "jax")
      >>> import jax, jax.numpy as jnp, jaxrnn, keras
      >>> with jax.numpy_rank_promotion("allow"):
      ...     layer = keras.layers.GRU(4, return_sequences=True)
      ...     layer.build((None, None, 3))
      >>> cell, params = import_keras(layer)
      >>> cell
      GRU(input_size=3, hidden_size=4)
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((2, 10, 3), "float32"), time_axis=1)
    """
    keras = the_library()
    if type(layer) is keras.Sequential:
        return _import_sequential(keras, layer.layers)
    if type(layer) is keras.layers.StackedRNNCells:
        return chain([Part(*import_keras(cell)) for cell in layer.cells])
    if type(layer) is keras.layers.Bidirectional:
        return _import_bidirectional(keras, layer)
    if isinstance(layer, keras.layers.RNN):
        _check_reading(layer, go_backwards=False)
    return _import(keras, layer)


def _import_sequential(keras, layers):
    links: list[Part] = []
    last_only = None
    for layer in layers:
        # Keras applies what maps instants to the last one just as well, and so does `unroll_last`.
        if last_only is not None and not isinstance(layer, _each_instant(keras)):
            raise ConversionError(
                f"{label(last_only)} has return_sequences=False, so {label(layer)} above it reads "
                "one vector and no sequence; expected nothing but Dense and Dropout there."
            )
        if isinstance(layer, keras.layers.RNN) and not layer.return_sequences:
            last_only = layer
        if type(layer) in (keras.layers.Dropout, keras.layers.SpatialDropout1D):
            links.append(_import_dropout(keras, layer, links))
        else:
            links.append(Part(*import_keras(layer)))
    return chain(links)


def _each_instant(keras):
    return keras.layers.Dense, keras.layers.Dropout


def _import_dropout(keras, layer, below):
    if not below:
        raise ConversionError(
            f"{label(layer)} stands below all layers, where its width is not to be seen; leave it "
            "out, and put jaxrnn.Dropout(width, rate) in its place."
        )
    if getattr(layer, "noise_shape", None) is not None:
        raise ConversionError(
            f"{label(layer)} has noise_shape={layer.noise_shape}; expected a Dropout without one, "
            "or SpatialDropout1D for one mask per sequence."
        )
    kind = Dropout if type(layer) is keras.layers.Dropout else VariationalDropout
    return Part(kind(below[-1].layer.output_size, float(layer.rate)), ())


def _import_bidirectional(keras, layer):
    merge = {"concat": concatenate, "sum": add}.get(layer.merge_mode)
    if merge is None:
        raise ConversionError(
            f"{label(layer)} has merge_mode={layer.merge_mode!r}; expected 'concat' or 'sum'."
        )
    if not layer.return_sequences:
        raise ConversionError(
            f"{label(layer)} has return_sequences=False, and merges the last output of each "
            "direction, which stand at opposite ends of the sequence; set return_sequences=True "
            "on it, its forward_layer and its backward_layer, and take h of both directions from "
            "the carry."
        )
    directions = layer.forward_layer, layer.backward_layer
    for way, backwards in zip(directions, (False, True), strict=True):
        _check_reading(way, go_backwards=backwards)
    (forward, own), (backward, backward_own) = (_import(keras, way) for way in directions)
    network = bidirectional(forward, backward, merge)
    return network, BidirectionalParams(forward=own, backward=backward_own)


def _check_reading(layer, go_backwards):
    if getattr(layer, "go_backwards", go_backwards) is not go_backwards:
        raise ConversionError(
            f"{label(layer)} has go_backwards={layer.go_backwards}, and writes its outputs in the "
            f"order of its reading; set it to {go_backwards}"
            + (
                ", and put jaxrnn.reverse around what is imported, whose outputs stand at the "
                "time of their inputs."
                if not go_backwards
                else " in the backward layer."
            )
        )
    states = getattr(layer, "states", None)
    if states is not None and any(np.any(_numbers(state)) for state in jax.tree.leaves(states)):
        raise ConversionError(
            f"{label(layer)} is stateful and in the middle of a sequence, and a network here keeps "
            "no state; call its reset_state() first, and hand on the carry."
        )


def _import(keras, layer):
    layers = keras.layers
    if type(layer) is layers.RNN:
        return import_keras(layer.cell)
    importers = {
        layers.SimpleRNN: _import_simple_rnn,
        layers.SimpleRNNCell: _import_simple_rnn,
        layers.LSTM: _import_lstm,
        layers.LSTMCell: _import_lstm,
        layers.GRU: _import_gru,
        layers.GRUCell: _import_gru,
        layers.Embedding: _import_embedding,
        layers.Dense: _import_dense,
    }
    if type(layer) is layers.TimeDistributed and type(layer.layer) is layers.Dense:
        return _import_dense(keras, layer.layer)
    importer = importers.get(type(layer))
    if importer is None:
        raise ConversionError(
            f"{label(layer)} has no counterpart in jaxrnn; expected one of keras's Sequential, "
            "Bidirectional, RNN, StackedRNNCells, TimeDistributed(Dense), "
            f"{', '.join(kind.__name__ for kind in importers)}, or in a Sequential Dropout."
        )
    return importer(keras, layer)


def _import_simple_rnn(keras, layer):
    activation = {theirs: ours for ours, theirs in activations(keras).items()}.get(layer.activation)
    if activation is None:
        known = ", ".join(theirs.__name__ for theirs in activations(keras).values())
        raise ConversionError(
            f"{label(layer)} has the activation {called(layer.activation)}; expected one of "
            f"{known}."
        )
    own = _own(layer, **_recurrent(layer, 1, (layer.units,)))
    cell = Elman(len(own["kernel"]), layer.units, activation=activation, use_bias=layer.use_bias)
    return cell, ElmanParams(own["kernel"], own["recurrent_kernel"], own.get("bias"))


def _import_lstm(keras, layer):
    _check_gates(keras, layer)
    own = _own(layer, **_recurrent(layer, 4, (4 * layer.units,)))
    cell = LSTM(len(own["kernel"]), layer.units, use_bias=layer.use_bias)
    return cell, LSTMParams(own["kernel"], own["recurrent_kernel"], own.get("bias"))


def _import_gru(keras, layer):
    _check_gates(keras, layer)
    units = layer.units
    bias_shape = (2, 3 * units) if layer.reset_after else (3 * units,)
    own = _own(layer, **_recurrent(layer, 3, bias_shape))
    own = {name: reorder(weight, "zrn", "rzn") for name, weight in own.items()}
    kernels = {"input_kernel": own["kernel"], "recurrent_kernel": own["recurrent_kernel"]}
    sizes = len(own["kernel"]), units, layer.use_bias
    if not layer.reset_after:
        return ResetBeforeGRU(*sizes), ResetBeforeGRUParams(**kernels, bias=own.get("bias"))
    bias = recurrent_bias = None
    if layer.use_bias:
        ours, recurrent = own["bias"]
        recurrent_bias = recurrent[2 * units :]
        bias = ours.at[: 2 * units].add(recurrent[: 2 * units])
    return GRU(*sizes), GRUParams(**kernels, bias=bias, recurrent_bias=recurrent_bias)


def _import_embedding(keras, layer):
    tokens, width = layer.input_dim, layer.output_dim
    own = _own(layer, embeddings=(tokens, width))
    return Embedding(tokens, width), EmbeddingParams(table=own["embeddings"])


def _import_dense(keras, layer):
    if layer.activation is not keras.activations.linear:
        raise ConversionError(
            f"{label(layer)} has the activation {called(layer.activation)}; expected linear: set "
            "layer.activation = keras.activations.linear, and apply it to what unroll returns."
        )
    bias = {"bias": (layer.units,)} if layer.use_bias else {}
    own = _own(layer, kernel=(None, layer.units), **bias)
    dense = Linear(len(own["kernel"]), layer.units, use_bias=layer.use_bias)
    return dense, LinearParams(kernel=own["kernel"], bias=own.get("bias"))


def _check_gates(keras, layer):
    wanted = {
        "activation": keras.activations.tanh,
        "recurrent_activation": keras.activations.sigmoid,
    }
    for name, function in wanted.items():
        if getattr(layer, name) is not function:
            raise ConversionError(
                f"{label(layer)} has {name} {called(getattr(layer, name))}; expected "
                f"{function.__name__}, which is all that the cell here has."
            )


def _recurrent(layer, gates, bias_shape):
    width = gates * layer.units
    shapes = {"kernel": (None, width), "recurrent_kernel": (layer.units, width)}
    return shapes | ({"bias": bias_shape} if layer.use_bias else {})


def _own(layer, **shapes):
    if not layer.built:
        raise ConversionError(
            f"{label(layer)} is not built, so it has no weights yet; call it on an input first, or "
            "its build(shape)."
        )
    return take(label(layer), {w.name: _numbers(w) for w in layer.weights}, shapes)


def _numbers(variable):
    return the_library().ops.convert_to_numpy(variable.value)
