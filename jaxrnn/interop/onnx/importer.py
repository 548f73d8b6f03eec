"""From ONNX: a graph of recurrent nodes as a network and its parameters."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrnn.errors import ConversionError, ModelFileError
from jaxrnn.interop.onnx.files import constant, library, parse_model, read_model
from jaxrnn.interop.onnx.glue import two_ways
from jaxrnn.interop.onnx.graph import Input, Node, Walk
from jaxrnn.interop.onnx.model import OnnxModel, Output, Signature, State, initial_carry
from jaxrnn.interop.onnx.values import Lengths, Sequence, States, assemble
from jaxrnn.interop.weights import exact

# What Python and NumPy raise where a file gives a node something else than its operator takes.
_FOUND_IN_BAD_FILES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def import_onnx(source: Any, constants: Mapping[str, Any] | None = None) -> OnnxModel:
    """Read a graph of RNN, GRU and LSTM nodes as a network.

    Nodes may have any of the operators' attributes. Those that the cells of the library cover
    become `Elman`, `GRU`, `ResetBeforeGRU` and `LSTM`; the others `OnnxLSTM` and `OnnxGRU`. Around
    them the graph may have Gather (an embedding) or OneHot below; MatMul, Add and Gemm; two
    branches joined by Concat or Add; and what exporters put between: Transpose, Squeeze, Reshape,
    Shape … So do the files of `export_onnx`, and those of `torch.onnx.export(…, dynamo=False)`.

    Nothing in a file is executed, and no other file is opened.

    Where the specification is silent or runtimes differ: outputs after the end of a row are zero,
    also above a bias; a row of length 0 keeps its initial state (onnxruntime gives zeros, or for
    RNN whatever lies in memory; onnx's own reference evaluator knows neither `sequence_lens` nor
    `clip`, activations or `input_forget`); `clip` does not bound c' before the last
    activation of an LSTM, as in onnxruntime; the default α of ThresholdedRelu is 1, as that of the
    operator of this name (onnxruntime has 0).

    Args:
      source: a path, the bytes of a file, or an `onnx.ModelProto`.
      constants: arrays for inputs of the graph that are weights, by name.

    Returns:
      The network, its parameters, and what else the file says.

    Raises:
      MissingExtraError: if onnx is not installed.
      CorruptFileError: if a file is damaged, or no ONNX file.
      ModelFileError: if it cannot be read.
      ConversionError: if the graph does something that no network of this library does.

    Example:
      >>> import tempfile, jax.numpy as jnp, jaxrnn
      >>> from jaxrnn.interop.onnx import export_onnx
      >>> network = jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Linear(4, 2))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "model.onnx"
      ...     export_onnx(path, network, network.init(jax.random.key(0)))
      ...     model = import_onnx(path)
      >>> model.network
      Stack(layers=(GRU(input_size=3, hidden_size=4), Linear(input_size=4, output_size=2)))
      >>> carry, ys = jaxrnn.unroll(
      ...     model.network, model.params, jnp.ones((10, 5, 3)), time_axis=model.time_axis
      ... )
    """
    onnx = library()
    name = ""
    try:
        if isinstance(source, onnx.ModelProto):
            proto = parse_model(source.SerializeToString(deterministic=True))
        elif isinstance(source, bytes | bytearray | memoryview):
            proto = parse_model(bytes(source))
        elif not isinstance(source, str | os.PathLike):
            raise ConversionError(
                f"got a value of type {type(source).__name__}; expected a path, bytes, or an "
                "onnx.ModelProto."
            )
        else:
            name = f"'{source}': "
            proto = read_model(Path(source))
        return _import(proto, constants or {})
    except ConversionError as error:
        raise ConversionError(f"{name}{error}") from error
    except ModelFileError:
        raise
    except RecursionError as error:
        raise ConversionError(f"{name}the graph is nested too deeply.") from error
    except _FOUND_IN_BAD_FILES as error:
        raise ConversionError(f"{name}no valid graph: {' '.join(str(error).split())}.") from error


def _import(proto, given):
    onnx = library()
    _check_model(proto)
    graph = proto.graph
    nodes = _nodes(onnx, graph)
    inputs = [_input(each) for each in graph.input]
    unknown = sorted(given.keys() - {each.name for each in inputs})
    if unknown:
        raise ConversionError(f"constants: the graph has no input {unknown[0]!r:.60}.")
    constants = {tensor.name: constant(tensor) for tensor in graph.initializer}
    constants |= {name: np.asarray(array) for name, array in given.items()}
    walk = Walk(inputs, constants, nodes)
    for node in nodes:
        try:
            walk.read(node)
        except _FOUND_IN_BAD_FILES as error:
            reason = " ".join(str(error).split())
            raise ConversionError(f"{_called(node)}: {reason}") from error
    return _model(
        walk, graph, {_text(entry.key): _text(entry.value) for entry in proto.metadata_props}
    )


def _check_model(proto):
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    if versions.get("", versions.get("ai.onnx", 0)) < 7:
        raise ConversionError(f"it uses opset {versions}; expected opset 7 or later.")
    if proto.functions or proto.graph.sparse_initializer:
        raise ConversionError("it has functions of its own or sparse tensors.")


def _nodes(onnx, graph):
    nodes = []
    for node in graph.node:
        attributes = {each.name: _attribute(onnx, each) for each in node.attribute}
        names = tuple(node.input), tuple(node.output)
        name = node.name or next(iter(node.output), "")
        found = Node(node.op_type, name, *names, attributes)
        if node.domain not in ("", "ai.onnx"):
            raise ConversionError(f"{_called(found)}: the domain {node.domain!r:.60} is not read.")
        nodes.append(found)
    return nodes


def _attribute(onnx, attribute):
    value = onnx.helper.get_attribute_value(attribute)
    match value:
        case bytes():
            return value.decode("utf-8", errors="replace")
        case onnx.TensorProto():
            return constant(value)
        case int() | float():
            return value
    return [_text(each) for each in value] if hasattr(value, "__iter__") else value


def _called(node):
    """A node in words; where its texts are damaged, protobuf gives bytes."""
    operator = _text(node.operator)
    return f"node {_text(node.name)!r:.60} ({operator if operator.isalnum() else repr(operator)})"


def _text(value):
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _input(value):
    tensor = value.type.tensor_type
    integers = (library().TensorProto.INT64, library().TensorProto.INT32)
    sizes = tuple(max(axis.dim_value, 0) for axis in tensor.shape.dim)
    return Input(value.name, sizes, tensor.elem_type in integers)


def _model(walk, graph, metadata):
    found = {each.name: walk.values.get(each.name) for each in graph.output}
    main = _main(found)
    network, params, places = assemble(main.links)
    starts = tuple(
        State((*place, *way), row.name, row.index, row.array)
        for link, place in places.items()
        for way, row in link.starts
        if row.kind in ("input", "constant")
    )
    lengths = walk.lengths or Lengths()
    outputs = tuple(_output(name, value, places) for name, value in found.items())
    model = OnnxModel(
        network=network,
        params=jax.tree.map(lambda array: exact("a parameter", array), params),
        carry=None,
        lengths=lengths.array,
        time_axis=walk.time or 0,
        signature=Signature(walk.xs.name, len(walk.xs.shape), lengths.name, starts, outputs),
        metadata=metadata,
    )
    rows = [state.array.shape[:1] for state in starts if state.array is not None]
    return model._replace(carry=initial_carry(model, {}, rows[0])) if rows else model


def _output(name, value, places):
    if isinstance(value, Sequence):
        return Output(name, value.axes, two_ways(value), ())
    rows = value.rows if isinstance(value, States) else ()
    if not rows or any(row.link not in places for row in rows):
        raise ConversionError(
            f"the output {name!r:.60} is neither the sequence nor a state of a layer below it."
        )
    states = tuple(State((*places[row.link], *row.path), name, None) for row in rows)
    return Output(name, value.axes, False, states)


def _main(found):
    """The sequence that is the network's output: the one output of that kind, or before states."""
    sequences = [value for value in found.values() if isinstance(value, Sequence)]
    states = [row for v in found.values() if isinstance(v, States) for row in v.rows]
    finals = [row for row in states if row.kind == "final"]
    if len(sequences) > 1:
        raise ConversionError("the graph has several sequences among its outputs; expected one.")
    if sequences:
        return sequences[0]
    if not finals:
        raise ConversionError("the graph has neither a sequence nor states among its outputs.")
    return Sequence((), max((row.chain for row in finals), key=len))
