"""RNN, GRU and LSTM nodes, and the states that they begin with."""

from typing import Any

import jax
import numpy as np

from jaxrnn.cells import GRUCarry, LSTMCarry
from jaxrnn.cells.elman import ElmanCarry
from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.nodes import Weights, read_node
from jaxrnn.interop.onnx.values import (
    DIRECTIONS,
    FEATURES,
    ONE,
    Filled,
    Lengths,
    Link,
    Row,
    Sequence,
    States,
)
from jaxrnn.networks import bidirectional, reverse
from jaxrnn.networks.bidirectional import BidirectionalParams
from jaxrnn.networks.learned_carry import LearnedCarryParams, learned_carry

MAX_ROWS = 4096  # directions times layers of one tensor of states
CARRIES = {"RNN": ElmanCarry, "GRU": GRUCarry, "LSTM": LSTMCarry}


def bound_rows(count: Any) -> None:
    """Raise ConversionError unless `count` states may stand in one tensor."""
    if not isinstance(count, int | np.integer) or not 0 <= count <= MAX_ROWS:
        raise ConversionError(f"states of {count} layers and directions are not read.")


def recurrent(walk, node, xs, w=None, r=None, b=None, lens=None, h=None, c=None, p=None):
    """A recurrent node: what its outputs Y, Y_h and Y_c are."""
    weights = {"W": w, "R": r, "B": b, "P": p}
    for name, array in weights.items():
        optional = array is None and name in "BP"
        if not (isinstance(array, np.ndarray) or optional):
            raise ConversionError(f"its {name} must be a constant.")
    if not isinstance(xs, Sequence) or xs.tokens:
        raise ConversionError("its X must be a sequence of vectors.")
    found = read_node(node.operator, node.attributes, Weights(w, r, b, p))
    batch_first = bool(found.layout)
    _enter_time(walk, xs, batch_first, width=w.shape[2])
    _enter_lengths(walk, lens)
    layer, params = _layer(found)
    starts = _starts(node.operator, found, h, c)
    if starts and all(row.kind in ("learned", "zero") for _, row in starts):
        layer, params = _learned(layer, params, starts, w.dtype)
        starts = []
    link = Link(layer, params, starts=tuple(starts))
    links = (*xs.links, link)
    first, second = xs.axes[:2]
    axes = (first, second, DIRECTIONS) if batch_first else (first, DIRECTIONS, second)
    results = [Sequence((*axes, FEATURES), links)]
    batch = ONE if ONE in xs.axes else "batch"
    order = (batch, "rows", FEATURES) if batch_first else ("rows", batch, FEATURES)
    for field in CARRIES[node.operator]._fields:
        rows = tuple(
            Row("final", link=link, path=(*way, field), chain=links) for way in _ways(found)
        )
        results.append(States(rows, order))
    return results


def _enter_time(walk, xs, batch_first, width):
    if len(xs.axes) != 3 or xs.axes[2] != FEATURES or DIRECTIONS in xs.axes:
        raise ConversionError("its X must have three axes, the last one of features.")
    time = xs.axes[1 if batch_first else 0]
    if not isinstance(time, int) or walk.time not in (None, time):
        raise ConversionError("it reads another axis as time than the input or the node before.")
    if xs.links and xs.width != width:
        raise ConversionError(f"it reads width {width}, but is given {xs.width}.")
    walk.time = time


def _enter_lengths(walk, lens):
    if lens is not None and not isinstance(lens, np.ndarray | Lengths):
        raise ConversionError("its sequence_lens must be a constant or an input of the graph.")
    if isinstance(lens, np.ndarray):
        if lens.ndim != 1 or not np.issubdtype(lens.dtype, np.integer):
            raise ConversionError("its sequence_lens must be a vector of integers.")
        lens = Lengths(array=lens)
    lens = lens or Lengths()
    if walk.lengths is None:
        walk.lengths = lens
    if not walk.lengths.same(lens):
        raise ConversionError("its sequence_lens are others than those of the nodes before.")


def _layer(found):
    """The layer of a node, and its parameters."""
    if found.direction == "bidirectional":
        forward, backward = found.cells
        return bidirectional(forward, backward), BidirectionalParams(*found.params)
    cell = found.cells[0] if found.direction == "forward" else reverse(found.cells[0])
    return cell, found.params[0]


def _ways(found):
    return [("forward",), ("backward",)] if len(found.cells) == 2 else [()]


def _starts(operator, found, h, c):
    """Where the carry comes from, if not all of it is zero."""
    fields = CARRIES[operator]._fields
    starts = []
    for field, states in zip(fields, (h, c), strict=False):
        rows = _rows_of(states, found)
        starts += [((*way, field), row) for way, row in zip(_ways(found), rows, strict=True)]
    return [] if all(row.kind == "zero" for _, row in starts) else starts


def _rows_of(states, found):
    count, hidden = len(found.cells), found.cells[0].hidden_size
    order = ("batch", "rows", FEATURES) if found.layout else ("rows", "batch", FEATURES)
    if states is None:
        return [Row("zero")] * count
    states = as_states(states, order)
    if not isinstance(states, States) or states.axes != order:
        raise ConversionError("its initial state must be a constant or an input of the graph.")
    if len(states.rows) != count:
        found = len(states.rows) or "an unknown number of"
        raise ConversionError(f"its initial state has {found} directions; expected {count}.")
    for row in states.rows:
        if row.kind == "final":
            raise ConversionError("its initial state is what another node hands on.")
        if row.array is not None and row.array.shape[-1] != hidden:
            raise ConversionError(f"its initial state is {row.array.shape[-1]} wide, not {hidden}.")
    return list(states.rows)


def as_states(value, axes=("rows", "batch", FEATURES)):
    """Constants and zeros as states; others as they are."""
    place = axes.index("rows")
    if isinstance(value, Filled) and len(value.shape) == 3:
        count = value.shape[place]
        bound_rows(count)
        return States((Row("zero"),) * int(count), axes)
    if isinstance(value, np.ndarray) and value.ndim == 3:
        bound_rows(value.shape[place])
        arrays = np.moveaxis(value, place, 0)
        return States(tuple(_constant_row(array) for array in arrays), axes)
    return value


def _constant_row(array):
    return Row("constant", array=array) if array.any() else Row("zero")


def _learned(layer, params, starts, dtype):
    """The layer with its start among the parameters."""
    arrays = {way: row.array for way, row in starts}
    structure = jax.tree.structure(jax.eval_shape(layer.initial_carry))
    width = next(array.shape[-1] for array in arrays.values() if array is not None)
    ordered = [arrays[way] for way in sorted(arrays, key=_place_in_carry)]
    leaves = [np.zeros(width, dtype) if array is None else array for array in ordered]
    start = jax.tree.unflatten(structure, leaves)
    return learned_carry(layer), LearnedCarryParams(start=start, layer=params)


def _place_in_carry(way):
    """Forward before backward, and h before c."""
    return way[:-1] == ("backward",), way[-1] == "c"
