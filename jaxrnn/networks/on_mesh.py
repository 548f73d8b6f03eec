"""Sequences that lie on a mesh of devices, as their types say (`AxisType.Explicit`)."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import (
    AbstractMesh,
    AxisType,
    NamedSharding,
    PartitionSpec,
    auto_axes,
    get_abstract_mesh,
)

from jaxrnn.folds import Spread, automatic, spread


class Rows(NamedTuple):
    """How the rows of a batch lie on a mesh.

    Attributes:
      mesh: of devices.
      shape: of the batch.
      axes: for each axis of the batch the name, or names, of the mesh's that share it out, or None.
      time: the same, for the axis of time.
      time_axis: where that stands.
    """

    mesh: AbstractMesh
    shape: tuple[int, ...]
    axes: tuple[Any, ...]
    time: Any
    time_axis: int

    def of_instant(self, tree: Any) -> Any:
        """Where arrays `[*batch, ...]` lie; what has no rows, such as a clock, everywhere."""
        return jax.tree.map(lambda leaf: self._place(self._axes_of(leaf.shape)), tree)

    def of_sequence(self, tree: Any) -> Any:
        """Where arrays lie that have time on `time_axis` besides."""

        def place(leaf):
            shape = list(leaf.shape)
            time_axis = min(self.time_axis, len(shape) - 1)  # of what all rows share, as a clock
            del shape[time_axis]
            axes = self._axes_of(tuple(shape))
            axes.insert(time_axis, self.time)
            return self._place(axes)

        return jax.tree.map(place, tree)

    def are_spread(self) -> bool:
        """Whether each device has rows that no other has, as the fold `spread` needs it."""
        if not self.axes or self.axes[0] is None:
            return False
        names = self.axes[0] if isinstance(self.axes[0], tuple) else self.axes[:1]
        return math.prod(self.mesh.shape[name] for name in names) == self.mesh.size

    def _axes_of(self, shape):
        has_rows = shape[: len(self.shape)] == self.shape
        others = [None] * (len(shape) - len(self.shape))
        return [*self.axes, *others] if has_rows else [None] * len(shape)

    def _place(self, axes):
        return NamedSharding(self.mesh, PartitionSpec(*axes))


def on_mesh(places: Callable[[Rows, Any], Any]) -> Callable[[Callable], Callable]:
    """Let `unroll`, or its like, take arrays whose types say on which devices they lie.

    Under such types an operation whose result could lie in several places has to be told where.
    Here the inputs tell it: results lie where the rows of `xs` do. In between the compiler places
    things as it likes, but for the rows: each device folds its own, as by the fold `spread`.

    Args:
      places: `(rows, results) -> shardings` of what the function gives.

    Returns:
      A decorator.
    """

    def decorate(run):
        @functools.wraps(run)
        def wrapped(layer, params, xs, carry=None, *, fold=automatic, time_axis=0, **context):
            given = params, xs, carry, context

            def run_with(fold, given):
                params, xs, carry, context = given
                return run(layer, params, xs, carry, fold=fold, time_axis=time_axis, **context)

            mesh = _explicit_mesh(given)
            if mesh is None:
                return run_with(fold, given)
            if isinstance(fold, Spread):
                fold = fold.fold
            arrays, replaced = _arrays_of(given)
            specs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
            # The shapes of the results, and all that is wrong with the arguments.
            results = jax.eval_shape(lambda *specs: run_with(fold, replaced(specs)), *specs)
            rows = _rows(layer, xs, time_axis, mesh)

            def run_on_mesh(*arrays):
                by_rows = spread(get_abstract_mesh(), fold) if rows.are_spread() else fold
                return run_with(by_rows, replaced(arrays))

            return auto_axes(run_on_mesh, out_sharding=places(rows, results))(*arrays)

        return wrapped

    return decorate


def _explicit_mesh(tree):
    """The mesh that the type of an array in this tree shares it out over; None if none does."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array):
            sharding = jax.typeof(leaf).sharding
            if any(sharding.spec) and AxisType.Explicit in sharding.mesh.axis_types:
                return sharding.mesh
    return None


def _arrays_of(tree):
    """JAX's arrays in a tree, and the function that puts others in their places."""
    leaves, structure = jax.tree.flatten(tree)
    is_array = [isinstance(leaf, jax.Array) for leaf in leaves]

    def replaced(arrays):
        arrays = iter(arrays)
        pairs = zip(is_array, leaves, strict=True)
        return structure.unflatten([next(arrays) if found else leaf for found, leaf in pairs])

    return [leaf for found, leaf in zip(is_array, leaves, strict=True) if found], replaced


def _rows(layer, xs, time_axis, mesh):
    shape = list(jnp.shape(xs))
    axes = [None] * len(shape)  # of NumPy's arrays
    if isinstance(xs, jax.Array):
        axes = list(jax.typeof(xs).sharding.spec)
    time_axis %= len(shape)
    del shape[time_axis]
    time = axes.pop(time_axis)
    batch = slice(len(shape) - (0 if layer.takes_tokens else 1))
    return Rows(mesh, tuple(shape[batch]), tuple(axes[batch]), time, time_axis)
