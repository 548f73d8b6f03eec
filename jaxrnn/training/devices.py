"""Where a training step runs: on one device, or its batch spread over many, of any process."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrnn.errors import InputError
from jaxrnn.folds import spread
from jaxrnn.training.step import TrainState


class Devices(abc.ABC):
    """Puts a training state and its batches where the step runs, and fetches them from there."""

    count: int

    @abc.abstractmethod
    def fold(self, fold: Callable) -> Callable:
        """The fold, for a batch that lies on these devices."""

    @abc.abstractmethod
    def compile(self, function: Callable, rows: int) -> Callable:
        """A function whose first argument is donated, compiled.

        Args:
          function: it returns a training state, alone or in a tuple with what is no state.
          rows: of the batch, and of the carry in the state.
        """

    @abc.abstractmethod
    def put(self, state: TrainState, rows: int) -> TrainState:
        """A copy of the state, every process giving the whole of it, that may be donated."""

    @abc.abstractmethod
    def put_batch(self, *arrays: Any) -> tuple[Any, ...]:
        """Arrays [time, rows, ...] of a batch, of which each process gives its rows alone."""

    @abc.abstractmethod
    def fetch(self, tree: Any) -> Any:
        """NumPy arrays: copies of the whole, on every process."""


@dataclasses.dataclass(frozen=True)
class OneDevice(Devices):
    """The one that JAX takes if it is not told another."""

    count = 1

    def fold(self, fold):
        """The same."""
        return fold

    def compile(self, function, rows):
        """The compiled function."""
        del rows
        return jax.jit(function, donate_argnums=0)

    def put(self, state, rows):
        """A copy."""
        del rows
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)

    def put_batch(self, *arrays):
        """As they are."""
        return arrays

    def fetch(self, tree):
        """Copies."""
        return jax.tree.map(np.array, tree)


@dataclasses.dataclass(frozen=True)
class ManyDevices(Devices):
    """Rows of batch and carry in equal parts on each device, everything else on all of them.

    The batch is the same for any number of devices, and so is what a step computes from it, but for
    the order in which sums are taken. With an equal number of devices it is the same bits (tested
    on CPUs, with one process and two), however many processes they belong to.

    Attributes:
      mesh: the devices, on one axis.

    Example:
      >>> devices = ManyDevices(data_mesh(1))
      >>> (batch,) = devices.put_batch(np.zeros((5, 4)))
      >>> batch.shape, len(batch.addressable_shards)
      ((5, 4), 1)
    """

    mesh: Mesh

    @property
    def count(self):
        """How many, all processes together."""
        return self.mesh.size

    def fold(self, fold):
        """Each device folds its own rows."""
        return spread(self.mesh, fold)

    def compile(self, function, rows):
        """The compiled function, its results spread as its arguments are."""

        def placed(*arguments):
            results = function(*arguments)
            return jax.lax.with_sharding_constraint(results, self._of(results, rows))

        return jax.jit(placed, donate_argnums=0)

    def put(self, state, rows):
        """Spread, and copied on the devices: what is donated shares no memory with anything."""
        state = jax.tree.map(np.asarray, state)
        of_state = self._of(state, rows)
        lent = jax.tree.map(self._spread, state, of_state)
        return jax.jit(_copy, out_shardings=of_state)(lent)

    def put_batch(self, *arrays):
        """Spread over the second axis."""
        columns = NamedSharding(self.mesh, PartitionSpec(None, self.mesh.axis_names))
        return tuple(self._spread(np.asarray(array), columns) for array in arrays)

    def fetch(self, tree):
        """Gathered, from other processes too: all of them have to ask for it at the same step."""
        if jax.process_count() > 1:
            tree = jax.jit(_copy, out_shardings=NamedSharding(self.mesh, PartitionSpec()))(tree)
        return jax.tree.map(np.array, tree)

    def _of(self, tree, rows):
        """Where the leaves lie: of a training state the carry by rows, and all else everywhere."""
        everywhere, by_row = (
            NamedSharding(self.mesh, PartitionSpec(*axes)) for axes in ((), self.mesh.axis_names)
        )

        def of_carry(leaf):  # in which there may be what all rows share, such as a clock
            return by_row if leaf.shape[:1] == (rows,) else everywhere

        def of(node):
            if not isinstance(node, TrainState):
                return everywhere
            shared = jax.tree.map(lambda _: everywhere, node)
            return shared._replace(carry=jax.tree.map(of_carry, node.carry))

        return jax.tree.map(of, tree, is_leaf=lambda node: isinstance(node, TrainState))

    def _spread(self, array, sharding):
        # Called for the parts that lie on devices of this process, and for no others.
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def data_mesh(devices: int | None = None) -> Mesh:
    """A mesh of so many devices of each process, on the one axis "data".

    Args:
      devices: how many of each process; all that it has if None.

    Raises:
      InputError: if a process has fewer.

    Example:
      >>> data_mesh(1).size
      1
    """
    chosen: list[jax.Device] = []
    for process in range(jax.process_count()):
        there = [device for device in jax.devices() if device.process_index == process]
        wanted = len(there) if devices is None else devices
        if not 0 < wanted <= len(there):
            raise InputError(
                f"devices is {devices}, but there are {len(there)} ({there[0].device_kind}): give "
                f"a number from 1 to {len(there)}."
            )
        chosen += there[:wanted]
    return Mesh(np.array(chosen), ("data",), axis_types=(AxisType.Auto,))


def _copy(tree):
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)
