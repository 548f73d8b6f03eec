"""The nodes of a network, layer by layer."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Cell, Layer
from jaxrnn.errors import ConversionError
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
from jaxrnn.wrappers import StateDropout, UpdateDropout


class Writer:
    """Nodes and constants as they come, under names of their own."""

    def __init__(self, onnx, dtype):
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.nodes, self.constants = [], []
        self.lengths = ""

    def element(self, dtype: Any) -> int:
        """ONNX's number for a dtype."""
        if dtype == jnp.bfloat16:  # onnx before 1.19 does not know NumPy's
            return self.onnx.TensorProto.BFLOAT16
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def constant(self, array: np.ndarray, name: str) -> str:
        """The name of a new constant."""
        array = np.asarray(array, order="C")
        name = f"{name}.{len(self.constants)}"
        # As raw bytes, which every version of onnx takes for every dtype.
        self.constants.append(
            self.onnx.helper.make_tensor(
                name, self.element(array.dtype), array.shape, array.tobytes(), raw=True
            )
        )
        return name

    def integers(self, *values: int) -> str:
        """The name of a constant vector of int64."""
        return self.constant(np.array(values, np.int64), "integers")

    def scalar(self, value: int) -> str:
        """The name of a constant int64."""
        return self.constant(np.array(value, np.int64), "scalar")

    def node(
        self,
        operator: str,
        inputs: list[str],
        outputs: int = 1,
        names: list[str] | None = None,
        **attributes: Any,
    ) -> Any:
        """The name of what a new node writes; a list of names where it has several outputs."""
        number = len(self.nodes)
        names = names or [f"{operator}.{number}.{place}" for place in range(outputs)]
        self.nodes.append(
            self.onnx.helper.make_node(
                operator, inputs, names, name=f"{operator}.{number}", **attributes
            )
        )
        return names[0] if len(names) == 1 else names


def emit(
    writer: Writer, layer: Layer, params: Any, carry: Any, xs: str, backwards: bool
) -> tuple[str, Any]:
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
                xs, handed_on = emit(writer, each, own, received, xs, backwards)
                carries.append(handed_on)
            return xs, carry._replace(layers=tuple(carries))
        case Bidirectional():
            return _both_ways(writer, layer, params, carry, xs, backwards)
        case Reverse():
            return emit(writer, layer.layer, params, carry, xs, not backwards)
        case Residual():
            ys, carry = emit(writer, layer.layer, params, carry, xs, backwards)
            return writer.node("Add", [xs, ys]), carry
        case LearnedCarry():
            return emit(writer, layer.layer, params.layer, carry, xs, backwards)
        case WeightDrop():
            return emit(writer, layer.layer, params, carry, xs, backwards)
        case StateDropout() | UpdateDropout():
            return emit(writer, layer.cell, params, carry, xs, backwards)
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
            emit(writer, *pair, xs, turned)
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


def without_padding(writer: Writer, ys: str) -> str:
    """The name of `ys`, zero where a row has ended."""
    time = writer.node("Gather", [writer.node("Shape", [ys]), writer.scalar(0)], axis=0)
    instants = writer.node("Range", [writer.scalar(0), time, writer.scalar(1)])
    instants = writer.node("Unsqueeze", [instants, writer.integers(1)])
    lengths = writer.node("Cast", [writer.lengths], to=writer.element(np.int64))
    valid = writer.node("Less", [instants, lengths])
    valid = writer.node("Unsqueeze", [valid, writer.integers(2)])
    zero = writer.constant(np.zeros((), writer.dtype), "zero")
    return writer.node("Where", [valid, ys, zero])
