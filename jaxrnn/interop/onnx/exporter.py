"""To ONNX: a network as native RNN, GRU and LSTM nodes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Cell, Layer, named_leaves
from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.files import library, write_model
from jaxrnn.interop.onnx.importer import import_onnx
from jaxrnn.interop.onnx.nodes import write_cell
from jaxrnn.networks import (
    Bidirectional,
    Dropout,
    Embedding,
    LearnedCarry,
    Linear,
    OneHot,
    Residual,
    Reverse,
    Stack,
    VariationalDropout,
    WeightDrop,
    add,
    concatenate,
)
from jaxrnn.networks.border import check_layer, check_params
from jaxrnn.text.language_model import LanguageModel
from jaxrnn.text.vocabulary import vocabulary_from_description
from jaxrnn.wrappers import StateDropout, UpdateDropout

OPSET, IR_VERSION = 17, 8  # read by runtimes since 2022
BFLOAT16_OPSET, BFLOAT16_IR_VERSION = 22, 10  # before it, the recurrent operators had none


def export_onnx(
    path: str | Path,
    network: Layer,
    params: Any,
    *,
    lengths: bool = False,
    carry: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network as an ONNX graph of native RNN, GRU and LSTM nodes.

        input   xs           [time, batch, input_size], or int64 tokens [time, batch]
                lengths      [batch], int32                      with `lengths`
                carry.…      [batch, hidden], one per state      with `carry`
        output  ys           [time, batch, output_size]
                new_carry.…  [batch, hidden], one per state      with `carry`

    Time and batch may have any size. States are named as in the network's carry, for instance
    `carry.layers.0.h`; handed from `new_carry.…` to `carry.…` they continue a sequence. Without
    `carry` the network begins with its own start; with it, a start that is not zero stands under
    `start` in the file's `metadata_props`, as JSON, to be given with the first call. Outputs after
    the end of a row are zero.

    Of layers, the graph can hold `Elman`, `LSTM`, `GRU`, `ResetBeforeGRU`, `OnnxLSTM`, `OnnxGRU`;
    `stack`, `bidirectional` (`concatenate` and `add`), `reverse`, `residual`, `learned_carry`;
    `Embedding`, `OneHot` and `Linear`. Dropout of any kind acts in training only and is left out.

    The graph has the dtype of the parameters. onnxruntime runs float32 on its CPU (of float16 only
    the LSTM); float64 and bfloat16 are valid ONNX, but to run them there cast the parameters to
    float32 first.

    Args:
      path: where to; an existing file is replaced in one go, once it is whole and reads back.
      network: the layer.
      params: its parameters.
      lengths: whether the graph takes the length of each row.
      carry: whether the graph takes and gives the carry.
      metadata: texts to keep in the file's `metadata_props`.

    Raises:
      MissingExtraError: if onnx is not installed.
      ConversionError: if ONNX has no operator for a layer.
      ModelFileError: if the file cannot be written.

    Example:
      >>> import tempfile, jaxrnn
      >>> network = jaxrnn.lstm_network(3, 8, num_layers=2, bidirectional=True)
      >>> params = network.init(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     export_onnx(Path(folder) / "model.onnx", network, params, lengths=True)
      ...     model = import_onnx(Path(folder) / "model.onnx")
      >>> model.network == network
      True
    """
    onnx = library()
    check_layer(network)
    check_params(network, params)
    writer = _Writer(onnx, _dtype(params))
    graph = _graph(writer, network, params, lengths, carry)
    is_bfloat16 = writer.dtype == jnp.bfloat16
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", BFLOAT16_OPSET if is_bfloat16 else OPSET)],
        ir_version=BFLOAT16_IR_VERSION if is_bfloat16 else IR_VERSION,
    )
    starts = _starts(network, params) if carry else {}
    for name, text in (starts | dict(metadata or {})).items():
        model.metadata_props.add(key=name, value=text)
    onnx.checker.check_model(model)
    write_model(path, model)


def export_language_model(path: str | Path, model: LanguageModel) -> None:
    """Write a language model as an ONNX graph that writes text, one token or many at a time.

    The graph is that of `export_onnx` with `carry=True`: give it the prompt and a carry of zeros,
    then again and again the token chosen and the carry received. The vocabulary stands under
    `vocabulary` in the file's `metadata_props`, as JSON.

    Args:
      path: where to.
      model: what to write.

    Raises:
      MissingExtraError, ConversionError, ModelFileError: as `export_onnx` does.

    Example:
      >>> import tempfile, jaxrnn
      >>> from jaxrnn.text import CharVocabulary
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.GRU(3, 8), jaxrnn.Linear(8, 3))
      >>> model = LanguageModel(network, network.init(jax.random.key(0)), CharVocabulary("abc"))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     export_language_model(Path(folder) / "model.onnx", model)
      ...     import_language_model(Path(folder) / "model.onnx").vocabulary
      CharVocabulary(characters='abc')
    """
    vocabulary = json.dumps(model.vocabulary.describe())
    export_onnx(path, model.network, model.params, carry=True, metadata={"vocabulary": vocabulary})


def import_language_model(path: str | Path) -> LanguageModel:
    """Read a language model from a file that `export_language_model` wrote.

    Args:
      path: the file.

    Raises:
      MissingExtraError, ConversionError, ModelFileError: as `import_onnx` does; also if the file
        holds no vocabulary, or the network does not predict its tokens.
    """
    network, params, *_, metadata = import_onnx(path)
    try:
        vocabulary = vocabulary_from_description(json.loads(metadata["vocabulary"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise ConversionError(f"'{path}' holds no vocabulary: no language model.") from error
    if not network.takes_tokens or network.output_size != vocabulary.size:
        raise ConversionError(
            f"'{path}' holds {network!r}, which does not predict the {vocabulary.size} tokens of "
            "its vocabulary."
        )
    return LanguageModel(network=network, params=params, vocabulary=vocabulary)


def _starts(network, params):
    """The start that a graph is to be given, where it is not zero."""
    starts = {
        f"carry.{name}": np.asarray(leaf, np.float64).tolist()
        for name, leaf in named_leaves(network.start(params))
        if np.any(leaf)
    }
    return {"start": json.dumps(starts)} if starts else {}


class _Writer:
    """Nodes and constants as they come, under names of their own."""

    def __init__(self, onnx, dtype):
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.nodes, self.constants = [], []
        self.lengths = ""

    def element(self, dtype):
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def constant(self, array, name):
        array = np.asarray(array, order="C")
        name = f"{name}.{len(self.constants)}"
        # As raw bytes, which every version of onnx takes for every dtype.
        self.constants.append(
            self.onnx.helper.make_tensor(
                name, self.element(array.dtype), array.shape, array.tobytes(), raw=True
            )
        )
        return name

    def integers(self, *values):
        return self.constant(np.array(values, np.int64), "integers")

    def scalar(self, value):
        return self.constant(np.array(value, np.int64), "scalar")

    def node(self, operator, inputs, outputs=1, names=None, **attributes):
        number = len(self.nodes)
        names = names or [f"{operator}.{number}.{place}" for place in range(outputs)]
        self.nodes.append(
            self.onnx.helper.make_node(
                operator, inputs, names, name=f"{operator}.{number}", **attributes
            )
        )
        return names[0] if len(names) == 1 else names


def _dtype(params):
    dtypes = {np.dtype(leaf.dtype) for leaf in jax.tree.leaves(params)}
    if len(dtypes) > 1:
        raise ConversionError(
            f"the parameters have several dtypes, {', '.join(sorted(map(str, dtypes)))}; a graph "
            "has one: cast them."
        )
    return dtypes.pop() if dtypes else np.dtype(np.float32)


def _graph(writer, network, params, with_lengths, with_carry):
    helper = writer.onnx.helper
    element = writer.element(writer.dtype)
    if network.takes_tokens:
        xs = helper.make_tensor_value_info("tokens", writer.element(np.int64), ["time", "batch"])
    else:
        shape = ["time", "batch", network.input_size]
        xs = helper.make_tensor_value_info("xs", element, shape)
    inputs, outputs = [xs], []
    if with_lengths:
        writer.lengths = "lengths"
        inputs.append(helper.make_tensor_value_info("lengths", writer.element(np.int32), ["batch"]))
    start = network.start(params)
    names = [name for name, _ in named_leaves(start)]
    starts = jax.tree.leaves(start)
    if with_carry:
        for name, leaf in zip(names, starts, strict=True):
            inputs.append(_state(writer, f"carry.{name}", leaf))
            outputs.append(_state(writer, f"new_carry.{name}", leaf))
    given = [f"carry.{name}" for name in names] if with_carry else map(np.asarray, starts)
    carry = jax.tree.unflatten(jax.tree.structure(start), list(given))
    ys, new_carry = _emit(writer, network, params, carry, xs.name, backwards=False)
    if with_lengths:
        ys = _without_padding(writer, ys)
    writer.node("Identity", [ys], names=["ys"])
    outputs.insert(
        0, helper.make_tensor_value_info("ys", element, ["time", "batch", network.output_size])
    )
    if with_carry:
        for name, leaf in zip(names, jax.tree.leaves(new_carry), strict=True):
            writer.node("Identity", [leaf], names=[f"new_carry.{name}"])
    return helper.make_graph(writer.nodes, "jaxrnn", inputs, outputs, writer.constants)


def _state(writer, name, leaf):
    info = writer.onnx.helper.make_tensor_value_info
    return info(name, writer.element(writer.dtype), ["batch", *leaf.shape])


def _emit(writer, layer, params, carry, xs, backwards):
    """The nodes of a layer.

    Args:
      writer: where they go.
      layer: the layer.
      params: its parameters.
      carry: what it begins with: names of inputs `[batch, hidden]`, or arrays `[hidden]`.
      xs: name of what it reads, `[time, batch, width]`.
      backwards: whether it reads from the end.

    Returns:
      The name of what it writes, and its carry with names of states `[batch, hidden]`.
    """
    match layer:
        case Stack():
            carries = []
            for each, own, received in zip(layer.layers, params.layers, carry.layers, strict=True):
                xs, handed_on = _emit(writer, each, own, received, xs, backwards)
                carries.append(handed_on)
            return xs, carry._replace(layers=tuple(carries))
        case Bidirectional():
            return _both_ways(writer, layer, params, carry, xs, backwards)
        case Reverse():
            return _emit(writer, layer.layer, params, carry, xs, not backwards)
        case Residual():
            ys, carry = _emit(writer, layer.layer, params, carry, xs, backwards)
            return writer.node("Add", [xs, ys]), carry
        case LearnedCarry():
            return _emit(writer, layer.layer, params.layer, carry, xs, backwards)
        case WeightDrop():
            return _emit(writer, layer.layer, params, carry, xs, backwards)
        case StateDropout() | UpdateDropout():
            return _emit(writer, layer.cell, params, carry, xs, backwards)
        case Dropout() | VariationalDropout():
            return xs, carry
        case Embedding():
            table = writer.constant(np.asarray(params.table), "table")
            return writer.node("Gather", [table, xs]), carry
        case OneHot():
            if layer.dtype not in (None, writer.dtype.name):
                raise ConversionError(f"{layer!r} is of another dtype than the parameters.")
            values = writer.constant(np.array([0, 1], writer.dtype), "values")
            depth = writer.integers(layer.input_size)
            return writer.node("OneHot", [xs, depth, values]), carry
        case Linear():
            kernel = writer.constant(np.asarray(params.kernel), "kernel")
            ys = writer.node("MatMul", [xs, kernel])
            if params.bias is None:
                return ys, carry
            bias = writer.constant(np.asarray(params.bias), "bias")
            return writer.node("Add", [ys, bias]), carry
        case Cell():
            direction = "reverse" if backwards else "forward"
            ys, (carry,) = _recurrent(writer, [(layer, params, carry)], xs, direction)
            return writer.node("Squeeze", [ys, writer.integers(1)]), carry
    raise ConversionError(f"{layer!r} has no counterpart in ONNX.")


def _both_ways(writer, layer, params, carry, xs, backwards):
    merge = layer.merge
    if merge not in (concatenate, add):
        raise ConversionError(
            f"{layer!r} merges its directions in a way that is not written; concatenate and add "
            "are."
        )
    pairs = [
        (layer.forward, params.forward, carry.forward),
        (layer.backward, params.backward, carry.backward),
    ]
    bare = [_without_noise(each) for each, _, _ in pairs]
    if bare[0] == bare[1] and isinstance(bare[0], Cell) and not backwards:
        pairs = [(cell, *rest) for cell, (_, *rest) in zip(bare, pairs, strict=True)]
        ys, carries = _recurrent(writer, pairs, xs, "bidirectional")
        if merge is add:
            ys = writer.node("ReduceSum", [ys, writer.integers(1)], keepdims=0)
        else:
            # [time, 2, batch, hidden]: the directions go beside each other.
            ys = writer.node("Transpose", [ys], perm=[0, 2, 1, 3])
            ys = writer.node("Reshape", [ys, writer.integers(0, 0, 2 * bare[0].output_size)])
    else:
        (ys, first), (backward_ys, second) = (
            _emit(writer, *pair, xs, turned)
            for pair, turned in zip(pairs, (backwards, not backwards), strict=True)
        )
        carries = first, second
        if merge is add:
            ys = writer.node("Add", [ys, backward_ys])
        else:
            ys = writer.node("Concat", [ys, backward_ys], axis=-1)
    return ys, carry._replace(forward=carries[0], backward=carries[1])


def _without_noise(layer):
    match layer:
        case StateDropout(cell=inside) | UpdateDropout(cell=inside) | WeightDrop(layer=inside):
            return _without_noise(inside)
    return layer


def _recurrent(writer, cells, xs, direction):
    """One node, for one cell or for one cell per direction."""
    written = [write_cell(cell, params) for cell, params, _ in cells]
    operator, attributes, _ = written[0]
    w, r, b, p = (
        "" if arrays[0] is None else writer.constant(np.stack(arrays), name)
        for name, *arrays in zip("WRBP", *(each.weights for each in written), strict=True)
    )
    lists = {
        name: of_one * len(cells) for name, of_one in attributes.items() if isinstance(of_one, list)
    }
    leaves = list(zip(*(carry for _, _, carry in cells), strict=True))
    starts = [_start(writer, each, xs) for each in leaves]
    inputs = [xs, w, r, b, writer.lengths, *starts]
    inputs += [""] * (7 - len(inputs)) + [p] if p else []
    while not inputs[-1]:
        inputs.pop()
    ys, *finals = writer.node(
        operator, inputs, outputs=1 + len(starts), direction=direction, **attributes | lists
    )
    states = [_finals(writer, *pair) for pair in zip(finals, leaves, strict=True)]
    carries = [
        type(carry)(*(state[place] for state in states))
        for place, (_, _, carry) in enumerate(cells)
    ]
    return ys, carries


def _start(writer, leaves, xs):
    """The name of the state that a node begins with, [directions, batch, hidden]; "" for zero."""
    if isinstance(leaves[0], str):
        rows = [writer.node("Unsqueeze", [name, writer.integers(0)]) for name in leaves]
        return rows[0] if len(rows) == 1 else writer.node("Concat", rows, axis=0)
    array = np.stack(leaves)[:, None]
    if not array.any():
        return ""
    row = writer.constant(array, "start")
    batch = writer.node("Gather", [writer.node("Shape", [xs]), writer.integers(1)], axis=0)
    count, _, hidden = array.shape
    shape = writer.node("Concat", [writer.integers(count), batch, writer.integers(hidden)], axis=0)
    return writer.node("Expand", [row, shape])


def _finals(writer, state, starts):
    """The states that a node hands on, one per direction, [batch, hidden]."""
    finals = [
        writer.node("Gather", [state, writer.scalar(place)], axis=0) for place in range(len(starts))
    ]
    if not (writer.lengths and isinstance(starts[0], str)):
        return finals
    # Runtimes leave anything as the state of a row without instants; here it stays as it was.
    zero = writer.constant(np.array(0, np.int32), "zero")
    begun = writer.node("Greater", [writer.lengths, zero])
    begun = writer.node("Unsqueeze", [begun, writer.integers(1)])
    return [
        writer.node("Where", [begun, final, start])
        for final, start in zip(finals, starts, strict=True)
    ]


def _without_padding(writer, ys):
    """Zero where a row has ended."""
    time = writer.node("Gather", [writer.node("Shape", [ys]), writer.scalar(0)], axis=0)
    instants = writer.node("Range", [writer.scalar(0), time, writer.scalar(1)])
    instants = writer.node("Unsqueeze", [instants, writer.integers(1)])
    lengths = writer.node("Cast", [writer.lengths], to=writer.element(np.int64))
    valid = writer.node("Less", [instants, lengths])
    valid = writer.node("Unsqueeze", [valid, writer.integers(2)])
    zero = writer.constant(np.zeros((), writer.dtype), "zero")
    return writer.node("Where", [valid, ys, zero])
