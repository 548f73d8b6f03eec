"""Nodes that are layers, or join branches, or do what `unroll` does by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.glue import axes_of, bound, two_ways
from jaxrnn.interop.onnx.recurrent import as_states, bound_rows
from jaxrnn.interop.onnx.values import (
    DIRECTIONS,
    FEATURES,
    ONE,
    Flags,
    Lengths,
    Link,
    Sequence,
    States,
    merge,
)
from jaxrnn.networks import Embedding, Linear, OneHot, add, bidirectional, concatenate
from jaxrnn.networks.bidirectional import Bidirectional
from jaxrnn.networks.learned_carry import learned_carry
from jaxrnn.networks.pointwise import EmbeddingParams, LinearParams


def _gather(walk, node, data, indices):
    axis = node.attributes.get("axis", 0)
    if isinstance(indices, Sequence) and isinstance(data, np.ndarray):
        if not indices.tokens or data.ndim != 2 or axis != 0:
            raise ConversionError("it looks up no vectors by token ids.")
        _no_layer_below(indices)
        link = Link(Embedding(*data.shape), EmbeddingParams(table=data))
        return Sequence((*indices.axes, FEATURES), (link,))
    if isinstance(data, np.ndarray) and isinstance(indices, np.ndarray):
        bound(data.size // max(data.shape[axis], 1) * indices.size)
        return np.asarray(np.take(data, indices.astype(np.int64), axis=axis), data.dtype)
    if isinstance(data, States) and isinstance(indices, np.ndarray) and indices.ndim == 0:
        if data.axes[axis] == "rows":
            axes = tuple(each for each in data.axes if each != "rows")
            return States((data.rows[int(indices)],), axes)
    raise ConversionError("it picks instants or features out of a sequence.")


def _no_layer_below(sequence):
    if sequence.links:
        raise ConversionError("tokens enter at the bottom of a network.")


def _one_hot(walk, node, indices, depth, values):
    del walk
    if not isinstance(indices, Sequence) or not indices.tokens:
        raise ConversionError("its indices must be the tokens that the graph is given.")
    _no_layer_below(indices)
    if node.attributes.get("axis", -1) not in (-1, len(indices.axes)):
        raise ConversionError("its axis must be the last one.")
    known = isinstance(depth, np.ndarray) and depth.size == 1 and isinstance(values, np.ndarray)
    if not known or values.tolist() != [0, 1]:
        raise ConversionError("its depth must be a constant, and its values 0 and 1.")
    return Sequence((*indices.axes, FEATURES), (Link(OneHot(int(depth.reshape(-1)[0])), ()),))


def _linear(sequence, kernel, bias):
    if not isinstance(sequence, Sequence) or sequence.tokens or sequence.axes[-1] != FEATURES:
        raise ConversionError("a sequence of vectors must be on its left.")
    if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
        raise ConversionError("a constant matrix must be on its right.")
    if two_ways(sequence):
        raise ConversionError("it acts on each direction for itself.")
    layer = Linear(*kernel.shape, use_bias=bias is not None)
    link = Link(layer, LinearParams(kernel=kernel, bias=bias))
    return sequence._replace(links=(*sequence.links, link))


def _mat_mul(walk, node, left, right):
    del walk, node
    return _linear(left, right, None)


def _gemm(walk, node, left, right, bias=None):
    del walk
    given = node.attributes
    if given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1 or given.get("transA", 0):
        raise ConversionError("alpha and beta must be 1, and transA 0.")
    if not isinstance(left, Sequence) or len(left.axes) != 2:
        raise ConversionError("it acts on a sequence of two axes; MatMul takes more.")
    if isinstance(right, np.ndarray) and given.get("transB", 0):
        right = right.T
    linear = _linear(left, right, None)
    return linear if bias is None else _add_bias(linear, bias)


def _add_bias(sequence, bias):
    last = sequence.links[-1] if sequence.links else None
    width = sequence.width
    lonely = last is not None and isinstance(last.layer, Linear) and not last.layer.use_bias
    if not lonely or bias.size != width or bias.shape[-1] != width:
        raise ConversionError("a constant is added where there is no matrix product below.")
    layer = Linear(last.layer.input_size, width, use_bias=True)
    link = Link(layer, LinearParams(last.params.kernel, bias.reshape(width)))
    return sequence._replace(links=(*sequence.links[:-1], link))


def _add(walk, node, left, right):
    del walk, node
    if isinstance(left, np.ndarray) and isinstance(right, Sequence):
        left, right = right, left
    if isinstance(left, Sequence) and isinstance(right, np.ndarray):
        return _add_bias(left, right)
    if isinstance(left, Sequence) and isinstance(right, Sequence):
        return merge(left, right, add)
    raise ConversionError("it adds what is no sequence.")


def _concat(walk, node, *values):
    del walk
    axis = node.attributes.get("axis", 0)
    if all(isinstance(value, np.ndarray) for value in values):
        bound(sum(value.size for value in values))
        return np.concatenate(values, axis=axis)
    if len(values) == 2 and all(isinstance(value, Sequence) for value in values):
        if axis not in (-1, len(values[0].axes) - 1):
            raise ConversionError("sequences are joined on their last axis only.")
        return merge(*values, concatenate)
    values = [as_states(value) for value in values]
    if all(isinstance(value, States) and value.axes == values[0].axes for value in values):
        rank = len(values[0].axes)
        if -rank <= axis < rank and values[0].axes[axis] == "rows":
            rows = sum((value.rows for value in values), ())
            bound_rows(len(rows))
            return values[0]._replace(rows=rows)
    raise ConversionError("it joins neither two sequences nor states.")


def _reduce_sum(walk, node, value, axes=None):
    del walk
    places = axes_of(node, axes, len(value.axes)) if isinstance(value, Sequence) else None
    if places is None or [value.axes[place] for place in places] != [DIRECTIONS]:
        raise ConversionError("it sums over something else than directions.")
    if node.attributes.get("keepdims", 1):
        raise ConversionError("it keeps the axis of directions.")
    axes = tuple(axis for axis in value.axes if axis != DIRECTIONS)
    if not two_ways(value):
        return value._replace(axes=axes)
    last = value.links[-1]
    layer = last.layer
    wrapped = not isinstance(layer, Bidirectional)
    both = layer.layer if wrapped else layer
    both = bidirectional(both.forward, both.backward, add)
    link = Link(learned_carry(both) if wrapped else both, last.params, inner=(((), last),))
    return value._replace(axes=axes, links=(*value.links[:-1], link))


def _range(walk, node, start, limit, step):
    del node
    time = walk.time or 0  # Where no node is recurrent, it is here that time shows.
    known = isinstance(limit, np.ndarray) and limit.size == 1
    if not (known and limit.item() == f"axis {time}" and start == 0 and step == 1):
        raise ConversionError("it counts something else than instants.")
    walk.time = time
    return Flags("instants", ("time",))


def _are_lengths(walk, value):
    if isinstance(value, Lengths) and walk.lengths is None:
        walk.lengths = value
    return isinstance(value, Lengths) and value.same(walk.lengths)


def _less(walk, node, instants, lengths):
    del node
    if instants != Flags("instants", ("time", ONE)) or not _are_lengths(walk, lengths):
        raise ConversionError("it compares something else than instants with lengths.")
    return Flags("valid", ("time", "batch"))


def _greater(walk, node, lengths, zero):
    del node
    known = isinstance(zero, np.ndarray) and not zero.any()
    if not known or not _are_lengths(walk, lengths):
        raise ConversionError("it compares something else than lengths with zero.")
    return Flags("not empty", ("batch",))


def _where(walk, node, condition, value, other):
    """What `unroll` does by itself: outputs of padding are zero, empty rows keep their state."""
    del node
    if condition == Flags("valid", ("time", "batch", ONE)) and isinstance(value, Sequence):
        zeros = isinstance(other, np.ndarray) and other.size == 1 and not other.any()
        if zeros and len(value.axes) == 3 and value.axes[0] == walk.time:
            return value
    if condition == Flags("not empty", ("batch", ONE)) and isinstance(value, States):
        if isinstance(other, States) and value.axes == other.axes == ("batch", FEATURES):
            row = value.rows[0]
            if row.kind == "final" and (row.path, other.rows[0]) in row.link.starts:
                return value
    raise ConversionError("it chooses something else than outputs and states by lengths.")


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": _add,
    "Concat": _concat,
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": _greater,
    "Less": _less,
    "MatMul": _mat_mul,
    "OneHot": _one_hot,
    "Range": _range,
    "ReduceSum": _reduce_sum,
    "Where": _where,
}
