"""A network that was read from ONNX, and the names and shapes that it had there."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer
from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.values import DIRECTIONS, FEATURES, ONE, Path
from jaxrnn.networks import unroll


class State(NamedTuple):
    """One state, `[batch, hidden]`, of a graph, and where it stands in the network's carry.

    Attributes:
      way: the way to it in the carry, such as ("layers", 0, "h").
      name: of the graph's input or output that holds it; "" for a constant of the file.
      index: its axis and place there; None where it is all of it.
      array: the constant.
    """

    way: Path
    name: str
    index: tuple[int, int] | None
    array: np.ndarray | None = None


class Output(NamedTuple):
    """One output of a graph.

    Attributes:
      name: its name.
      axes: what each axis is.
      two_ways: whether it is a sequence with an axis of two directions.
      states: if it is no sequence, which states.
    """

    name: str
    axes: tuple[str | int, ...]
    two_ways: bool
    states: tuple[State, ...]


class Signature(NamedTuple):
    """What a graph was called with, and gave.

    Attributes:
      xs: name of the input that is the sequence.
      rank: how many axes it has.
      lengths: name of the input that `sequence_lens` are; "" for none.
      starts: the states that come from inputs or from constants of the file.
      outputs: all outputs.
    """

    xs: str
    rank: int
    lengths: str
    starts: tuple[State, ...]
    outputs: tuple[Output, ...]


class OnnxModel(NamedTuple):
    """A network that was read from ONNX, as arguments of `jaxrnn.unroll`.

    Attributes:
      network: what the graph computes.
      params: its parameters, in the dtype of the file.
      carry: the carry it begins with, where the file holds one that is not zero; else None.
      lengths: how long each row is, where the file holds that; else None.
      time_axis: where time stands in the graph's input.
      signature: names and shapes of the graph, for `run_onnx` and `initial_carry`.
      metadata: the file's `metadata_props`.
    """

    network: Layer
    params: Any
    carry: Any
    lengths: np.ndarray | None
    time_axis: int
    signature: Signature
    metadata: dict[str, str]


def run_onnx(model: OnnxModel, inputs: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Run an imported graph under the file's own names and shapes, as another runtime would.

    Args:
      model: what `import_onnx` gave.
      inputs: an array for each input of the graph; an initial state that is left out is zero.

    Returns:
      An array for each output of the graph.

    Raises:
      ConversionError: if the sequence or the lengths are missing, a name is unknown, or the
        sequence has other axes.

    Example:
      >>> import tempfile, jaxrnn
      >>> from pathlib import Path
      >>> from jaxrnn.interop.onnx import export_onnx, import_onnx
      >>> cell = jaxrnn.GRU(3, 4)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "model.onnx"
      ...     export_onnx(path, cell, cell.init(jax.random.key(0)), carry=True)
      ...     model = import_onnx(path)
      >>> outputs = run_onnx(model, {"xs": jnp.ones((10, 5, 3))})
      >>> {name: array.shape for name, array in outputs.items()}
      {'ys': (10, 5, 4), 'new_carry.h': (5, 4)}
    """
    signature = model.signature
    needed = {signature.xs, signature.lengths} - {""}
    known = needed | {state.name for state in signature.starts} - {""}
    wrong = sorted(set(inputs) - known) or sorted(needed - set(inputs))
    if wrong:
        raise ConversionError(
            f"the input {wrong[0]!r:.60} is {'unknown' if wrong[0] in inputs else 'missing'}; the "
            f"graph's inputs are {', '.join(sorted(known))}."
        )
    xs = jnp.asarray(inputs[signature.xs])
    if xs.ndim != signature.rank:
        raise ConversionError(
            f"the input {signature.xs!r:.60} has shape {xs.shape}; expected {signature.rank} axes."
        )
    batch_shape = list(xs.shape if model.network.takes_tokens else xs.shape[:-1])
    del batch_shape[model.time_axis]
    carry, ys = unroll(
        model.network,
        model.params,
        xs,
        initial_carry(model, inputs, tuple(batch_shape)),
        lengths=inputs.get(signature.lengths, model.lengths),
        time_axis=model.time_axis,
    )
    return {output.name: _as_output(output, carry, ys) for output in signature.outputs}


def initial_carry(model: OnnxModel, inputs: Mapping[str, Any], batch_shape: tuple[int, ...]) -> Any:
    """The carry that an imported network begins with, from inputs of the graph such as initial_h.

    Args:
      model: what `import_onnx` gave.
      inputs: arrays by the graph's names, with its shapes; others are not looked at.
      batch_shape: the axes of the batch.

    Returns:
      A carry for `jaxrnn.unroll`: zero, or the file's own, where no input says otherwise.

    Raises:
      ConversionError: if an array has another shape.
    """
    carry = model.network.start(model.params, batch_shape)
    for state in model.signature.starts:
        array = inputs.get(state.name, state.array)
        if array is None:
            continue
        array = jnp.asarray(array)
        if state.index is not None:
            axis, place = state.index
            if array.ndim != 3 or array.shape[axis] <= place:
                raise ConversionError(
                    f"the initial state {state.name!r:.60} has shape {array.shape}, which has no "
                    f"place {place} on axis {axis}."
                )
            array = array[(slice(None),) * axis + (place,)]
        carry = _replaced(carry, state.way, array)
    return carry


def _replaced(carry, way, leaf):
    """The carry with one leaf exchanged."""
    if not way:
        if carry.shape != leaf.shape:
            raise ConversionError(
                f"an initial state has shape {leaf.shape}; expected {carry.shape}."
            )
        return leaf
    step, *rest = way
    if isinstance(step, int):
        return (*carry[:step], _replaced(carry[step], rest, leaf), *carry[step + 1 :])
    return carry._replace(**{step: _replaced(getattr(carry, step), rest, leaf)})


def _as_output(output, carry, ys):
    """One output with its axes as in the file."""
    wanted = [axis for axis in output.axes if axis != ONE]
    ones = tuple(place for place, axis in enumerate(output.axes) if axis == ONE)
    if output.states:
        states = [_found(carry, state.way) for state in output.states]
        stacked = jnp.stack(states, axis=wanted.index("rows")) if "rows" in wanted else states[0]
        return jnp.expand_dims(stacked, ones)
    have = sorted(axis for axis in wanted if isinstance(axis, int))
    count = 2 if output.two_ways else 1
    split = [DIRECTIONS] if DIRECTIONS in wanted else []
    shape = [count] if split else []
    ys = ys.reshape(*ys.shape[: len(have)], *shape, ys.shape[-1] // count)
    have = [*have, *split, FEATURES]
    ys = ys.transpose([have.index(axis) for axis in wanted])
    return jnp.expand_dims(ys, ones)


def _found(carry, way):
    for step in way:
        carry = carry[step] if isinstance(step, int) else getattr(carry, step)
    return carry
