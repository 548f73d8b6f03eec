"""Nodes that compute nothing: they turn axes, follow shapes, and cut and hand round states."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.recurrent import as_states, bound_rows
from jaxrnn.interop.onnx.values import (
    DIRECTIONS,
    FEATURES,
    ONE,
    Filled,
    Lengths,
    Row,
    Sequence,
    States,
)
from jaxrnn.networks.bidirectional import Bidirectional

MAX_COMPUTED = 2**28  # numbers that one node may make of constants


def bound(count):
    """A small file must not become a large array."""
    if count > MAX_COMPUTED:
        raise ConversionError(f"it makes {count:,} numbers; {MAX_COMPUTED:,} are computed at most.")


def _transpose(walk, node, value):
    del walk
    if isinstance(value, np.ndarray):
        return np.transpose(value, node.attributes.get("perm"))
    perm = node.attributes.get("perm", list(range(len(value.axes)))[::-1])
    if sorted(perm) != list(range(len(value.axes))):
        raise ConversionError(f"perm={perm} does not fit {len(value.axes)} axes.")
    return value._replace(axes=tuple(value.axes[place] for place in perm))


def _squeeze(walk, node, value, axes=None):
    del walk
    if isinstance(value, np.ndarray):
        places = axes_of(node, axes, value.ndim)
        return np.squeeze(value, None if places is None else tuple(places))
    if isinstance(value, Filled):
        places = axes_of(node, axes, len(value.shape))
        return Filled(np.delete(value.shape, places or []))
    places = axes_of(node, axes, len(value.axes))
    if places is None:
        raise ConversionError("it does not say which axes it removes.")
    for place in places:
        axis = value.axes[place]
        single = (
            axis == ONE
            or (axis == DIRECTIONS and not two_ways(value))
            or (axis == "rows" and len(value.rows) == 1)
        )
        if not single:
            raise ConversionError(f"it removes the axis {axis!r}, which may be longer than 1.")
    kept = [axis for place, axis in enumerate(value.axes) if place not in places]
    return value._replace(axes=tuple(kept))


def _unsqueeze(walk, node, value, axes=None):
    del walk
    if isinstance(value, np.ndarray):
        return np.expand_dims(value, tuple(axes_of(node, axes, None)))
    places = axes_of(node, axes, len(value.axes) + 1)
    if len(places) != 1:
        raise ConversionError("it adds more than one axis.")
    new = "rows" if isinstance(value, States) and "rows" not in value.axes else ONE
    order = list(value.axes)
    order.insert(places[0], new)
    return value._replace(axes=tuple(order))


def axes_of(node, axes, rank):
    """Axes of Squeeze and Unsqueeze: an input since opset 13, an attribute before."""
    if axes is None:
        axes = node.attributes.get("axes")
    if axes is None:
        return None
    places = [int(axis) for axis in np.atleast_1d(axes)]
    if rank is None:
        return places
    if any(not -rank <= place < rank for place in places):
        raise ConversionError(f"axes={places} do not fit {rank} axes.")
    return [place % rank for place in places]


def two_ways(sequence):
    """Whether the last layer writes two directions that stand on an axis of their own."""
    return DIRECTIONS in sequence.axes and isinstance(_bare(sequence.links[-1]), Bidirectional)


def _bare(link):
    return getattr(link.layer, "layer", link.layer) if link.layer else None


def _sizes(sequence):
    """The shape of a sequence, axes of the input as words."""
    count = 2 if two_ways(sequence) else 1
    width = sequence.width or "axis -1"
    known = {DIRECTIONS: count, ONE: 1, FEATURES: width}
    if DIRECTIONS in sequence.axes and isinstance(width, int):
        known[FEATURES] = width // count
    return [known.get(axis, f"axis {axis}") for axis in sequence.axes]


def _shape(walk, node, value):
    del walk
    if not isinstance(value, Sequence):
        raise ConversionError("shapes are followed of sequences only.")
    sizes = np.array(_sizes(value), dtype=object)
    return sizes[node.attributes.get("start", 0) : node.attributes.get("end", len(sizes))]


def _reshape(walk, node, value, shape):
    if not isinstance(shape, np.ndarray) or shape.ndim != 1:
        raise ConversionError("its shape must be known.")
    if isinstance(value, np.ndarray):
        return value.reshape([int(size) for size in shape])
    if not isinstance(value, Sequence):
        raise ConversionError("it reshapes what is no sequence.")
    for axes in _candidates(value):
        merged = value._replace(axes=axes)
        sizes = _sizes(merged)
        if len(sizes) == len(shape) and _fits(walk, shape, sizes, _sizes(value), node):
            return merged
    raise ConversionError(
        f"shape={shape.tolist()} does more than to put directions side by side or to drop them."
    )


def _candidates(sequence):
    axes = sequence.axes
    if axes[-2:] == (DIRECTIONS, FEATURES):
        yield (*axes[:-2], FEATURES)
    if not two_ways(sequence):
        yield tuple(axis for axis in axes if axis not in (DIRECTIONS, ONE))
        yield tuple(axis for axis in axes if axis != DIRECTIONS)
    yield axes


def _fits(walk, shape, sizes, before, node):
    """Whether a shape is certainly this one."""
    static = {f"axis {place}": size for place, size in enumerate(walk.xs.shape) if size}
    open_places = 0
    for place, (wanted, size) in enumerate(zip(shape, sizes, strict=True)):
        if wanted == 0 and not node.attributes.get("allowzero", 0):
            wanted = before[place]
        if wanted == -1:
            open_places += 1
        elif wanted not in (size, static.get(size)):
            return False
    return open_places <= 1


def _slice(walk, node, value, starts=None, ends=None, axes=None, steps=None):
    del walk
    bounds = [node.attributes.get("starts", starts), node.attributes.get("ends", ends)]
    axes = node.attributes.get("axes", axes)
    steps = np.ones(1) if steps is None else steps
    axes = np.zeros(1) if axes is None else axes
    if not all(np.size(given) == 1 and _is_known(given) for given in [*bounds, axes, steps]):
        raise ConversionError("it cuts along several axes, or at places that are not known.")
    start, end, axis, step = (int(np.reshape(each, -1)[0]) for each in [*bounds, axes, steps])
    if step <= 0:
        raise ConversionError("it cuts backwards.")
    if isinstance(value, np.ndarray):
        if not -value.ndim <= axis < value.ndim:
            raise ConversionError(f"axis={axis} does not fit {value.ndim} axes.")
        index = [slice(None)] * value.ndim
        index[axis] = slice(start, end, step)
        return value[tuple(index)]
    value = as_states(value)
    if isinstance(value, States) and -len(value.axes) <= axis < len(value.axes):
        if value.axes[axis] == "rows" and value.rows:
            return value._replace(rows=value.rows[start:end:step])
    raise ConversionError("it cuts something else than states of layers.")


def _is_known(value):
    return value is not None and (not isinstance(value, np.ndarray) or value.dtype != object)


def _constant(walk, node):
    del walk
    for name in ("value", "value_int", "value_ints", "value_float", "value_floats"):
        if name in node.attributes:
            return np.asarray(node.attributes[name])
    raise ConversionError("it holds no numbers.")


def _constant_of_shape(walk, node, shape):
    del walk
    if not isinstance(shape, np.ndarray) or np.any(node.attributes.get("value", 0)):
        raise ConversionError("it fills a tensor with something else than zeros.")
    return Filled(np.asarray(shape, dtype=object))


def _expand(walk, node, value, shape):
    """States that are the same for every row of the batch."""
    del walk, node
    if isinstance(value, np.ndarray) and not value.any():
        return Filled(np.asarray(shape, dtype=object))
    symbolic = isinstance(shape, np.ndarray) and shape.dtype == object
    if not (symbolic and isinstance(value, np.ndarray) and value.ndim == 3):
        raise ConversionError("it repeats something else than initial states.")
    if value.shape[1] != 1:
        return value
    if [shape[0], shape[2]] != [value.shape[0], value.shape[2]]:
        raise ConversionError("it repeats states along another axis than the batch.")
    bound_rows(value.shape[0])
    rows = tuple(Row("learned", array=each[0]) for each in value)
    return States(rows, ("rows", "batch", FEATURES))


def _split(walk, node, value, sizes=None):
    del walk
    value = as_states(value)
    axis = node.attributes.get("axis", 0)
    if not isinstance(value, States) or value.axes[axis : axis + 1] != ("rows",):
        raise ConversionError("it cuts something else than states of layers.")
    sizes = node.attributes.get("split", sizes)
    count = len(node.outputs)
    if sizes is None:
        sizes = [-(-len(value.rows) // count)] * count
    bounds = np.cumsum([0, *map(int, sizes)])
    return [
        value._replace(rows=value.rows[start:end])
        for start, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def _same(walk, node, value, *rest):
    """What computes nothing in inference."""
    del walk
    if node.operator == "Dropout" and len(rest) > 1 and rest[1] is not None:
        if not isinstance(rest[1], np.ndarray) or rest[1].any():
            raise ConversionError("it is in training mode.")
    return value


def _cast(walk, node, value):
    del walk, node
    if isinstance(value, Lengths):
        return value
    if isinstance(value, Sequence) and value.tokens:
        return value
    if isinstance(value, np.ndarray) and (
        value.dtype == object or np.issubdtype(value.dtype, np.integer)
    ):
        return value
    raise ConversionError("it changes the dtype of what is computed.")


OPERATORS: dict[str, Callable[..., Any]] = {
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _same,
    "Expand": _expand,
    "Identity": _same,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
