"""What holds for every room of `jaxrnn.interop`: no buffer is shared, and only networks go out."""

import os

import jax
import numpy as np
import pytest
from flax import nnx

import jaxrnn
from jaxrnn import export
from jaxrnn.errors import ConversionError
from jaxrnn.interop.equinox import export_equinox, import_equinox
from jaxrnn.interop.flax import export_linen, export_nnx, import_linen, import_nnx
from jaxrnn.interop.haiku import export_haiku, import_haiku
from jaxrnn.interop.keras import export_keras, import_keras
from jaxrnn.interop.onnx import export_onnx

os.environ.setdefault("KERAS_BACKEND", "jax")
NETWORK = jaxrnn.stack(jaxrnn.Embedding(5, 3), jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 2))
HAIKU = {"embed": "Embed", "lstm": "LSTM", "linear": "Linear"}

# By room: to there, from there, and the arrays of what is there.
ROOMS = {
    "equinox": (export_equinox, import_equinox, jax.tree.leaves),
    "haiku": (export_haiku, lambda theirs: import_haiku(theirs, HAIKU), jax.tree.leaves),
    "keras": (export_keras, import_keras, lambda model: [w.value for w in model.weights]),
    "flax": (export_linen, lambda theirs: import_linen(*theirs), jax.tree.leaves),
    "nnx": (export_nnx, import_nnx, lambda module: jax.tree.leaves(nnx.state(module))),
}


def float32(network):
    params = network.init(jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), params)


@pytest.mark.parametrize("room", ROOMS)
def test_no_buffer_is_shared(room):
    """A training step that donates its parameters leaves those of the other side as they are."""
    pytest.importorskip("flax" if room == "nnx" else room)
    to_there, from_there, arrays = ROOMS[room]
    ours = float32(NETWORK)
    theirs = to_there(NETWORK, ours)
    again = from_there(theirs)[1]
    leaves = [*jax.tree.leaves((ours, again)), *arrays(theirs)]
    leaves = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    assert len(leaves) >= 3 * 5
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def to_file(write):
    return lambda network, params: write("model", network, params)


EXPORTS = {room: to_there for room, (to_there, *_) in ROOMS.items()}
EXPORTS |= {"onnx": to_file(export_onnx), "flatbuffers": to_file(export.save)}


@pytest.mark.parametrize("room", EXPORTS)
def test_what_is_no_network_or_has_no_numbers_is_refused(room, tmp_path, monkeypatch):
    pytest.importorskip("flax" if room == "nnx" else room)
    monkeypatch.chdir(tmp_path)
    to_there = EXPORTS[room]
    cell = jaxrnn.LSTM(3, 4)
    params = float32(cell)
    for given in ([cell], None, params):
        with pytest.raises(TypeError, match="expected a cell or a network, such as LSTM"):
            to_there(given, params)
    with pytest.raises(TypeError, match=r"got the class LSTM; make one first"):
        to_there(jaxrnn.LSTM, params)
    with pytest.raises(ConversionError, match="LSTM.*ShapeDtypeStruct"):
        to_there(cell, jax.eval_shape(lambda: params))
    with pytest.raises((ConversionError, TypeError), match="`recurrent_bias` is missing"):
        to_there(jaxrnn.GRU(3, 4), params)
    if room in ("keras", "onnx"):  # the others take traced values

        def inside(params):
            to_there(cell, params)

        with pytest.raises(ConversionError, match="traced value without numbers"):
            jax.jit(inside)(params)
    assert not list(tmp_path.iterdir())
