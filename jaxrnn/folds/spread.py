"""Rows over devices: each folds its own, and the weights' gradients meet once, at the end."""

import dataclasses
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec, get_abstract_mesh

from jaxrnn.cell import Carry, Cell, Fold, Params
from jaxrnn.folds.automatic import automatic
from jaxrnn.folds.wide_sums import wide_sums
from jaxrnn.wrappers import Record, Recording, ResettingParams, SideBySide


@dataclasses.dataclass(frozen=True)
class Spread:
    """The fold that `spread` makes."""

    mesh: Mesh | AbstractMesh
    fold: Fold

    def __post_init__(self):
        if not isinstance(self.mesh, Mesh | AbstractMesh):
            raise TypeError(
                f"spread: mesh must be a jax.sharding.Mesh, as from jaxrnn.training.data_mesh(4); "
                f"got {self.mesh!r}."
            )
        if not callable(self.fold):
            raise TypeError(
                f"spread: fold must be a function such as jaxrnn.folds.bptt, got {self.fold!r}."
            )

    def __call__(
        self, cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
    ) -> tuple[Carry, jax.Array]:
        """Fold `cell` over `xs`; see `spread`."""
        if AxisType.Explicit in {*self.mesh.axis_types, *get_abstract_mesh().axis_types}:
            raise ValueError(
                "spread: the axes of this mesh are explicit. Place the sequence on it, by "
                'jax.device_put(xs, NamedSharding(mesh, PartitionSpec(None, "data"))), and any '
                "other fold does what this one would; or make the mesh with axis_types="
                "(AxisType.Auto,)."
            )
        everywhere, names = PartitionSpec(), self.mesh.axis_names
        axis = 1 if isinstance(cell, SideBySide) else 0  # of the batch: behind that of the copies
        batch = self._batch(xs, axis, cell.takes_tokens)
        by_row, in_time = (PartitionSpec(*[None] * place, names) for place in (axis, axis + 1))

        def of_sequence(leaf):  # which may be the same for all rows
            return in_time if leaf.shape[1 : axis + 2] == batch[: axis + 1] else everywhere

        has_rows = _leaves_with_rows(cell, batch, axis)
        of_carry = jax.tree.map(lambda has: by_row if has else everywhere, has_rows)
        of_params = jax.tree.map(lambda leaf: everywhere, params)
        if isinstance(params, ResettingParams):
            of_params = of_params._replace(start=of_carry)
        of_xs = jax.tree.map(of_sequence, xs)
        of_ys = in_time
        if isinstance(cell, Recording):
            of_carries = jax.tree.map(lambda has: in_time if has else everywhere, has_rows)
            of_ys = in_time, Record(of_carries, in_time)

        # Not checked, since a cell of the user's may put a constant into its carry. And so the
        # gradient of what all devices share is summed where it leaves them, not within the loop.
        wide, narrow = wide_sums(params)
        of_all = jax.shard_map(
            lambda wide, carry, xs: self.fold(cell, narrow(wide), carry, xs),
            mesh=self.mesh,
            in_specs=(of_params, of_carry, of_xs),
            out_specs=(of_carry, of_ys),
            check_vma=False,
        )
        return of_all(wide, carry, xs)

    def _batch(self, xs, axis, takes_tokens):
        shape = jax.tree.leaves(xs)[0].shape
        batch = shape[1:] if takes_tokens else shape[1:-1]
        if len(batch) <= axis or batch[axis] % self.mesh.size:
            raise ValueError(
                f"spread: a sequence of shape {shape} has no batch that {self.mesh.size} devices "
                "can share equally; give [time, batch, features] with a multiple as the batch."
            )
        return batch


def _leaves_with_rows(cell, batch, axis):
    """Which leaves of the carry have rows: those that have more where the batch has one more."""
    more = (*batch[:axis], batch[axis] + 1, *batch[axis + 1 :])
    carries = (jax.eval_shape(lambda b=b: cell.initial_carry(b)) for b in (batch, more))
    return jax.tree.map(lambda leaf, larger: leaf.shape != larger.shape, *carries)


def spread(mesh: Mesh | AbstractMesh, fold: Fold = automatic) -> Spread:
    """A fold whose rows lie on the devices of a mesh, each device folding its own.

        forward   device d: carry_d, ys_d = fold(cell, params, carry_d, xs_d)      nothing is sent
        backward  d_params = Σ_d d_params_d                                        one all-reduce

    What is drawn at random is drawn before a fold begins, for the whole batch: the number of
    devices changes no noise. Left to itself the compiler shares the matrix products of a loop out
    in another way: of an LSTM with `bptt` it sends the activations of every segment to every
    device, and then computes the gradients of the weights on each of them.

    A sequence whose type says that its rows lie on a mesh (`AxisType.Explicit`, which a mesh of
    `jax.make_mesh` has unless told otherwise) needs no such fold: `unroll` takes it by itself.

    Args:
      mesh: of devices, its axes of type `AxisType.Auto`; their number divides the first axis of
        the batch.
      fold: what each device does.

    Returns:
      A fold, `(cell, params, carry, xs) -> (carry, ys)`.

    Raises:
      TypeError: if one of them is none.
      ValueError: from the fold, if there is no such batch, or the axes of the mesh are explicit.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
      >>> cell = jaxrnn.GRU(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((7, 2, 3)), fold=spread(mesh))
      >>> ys.shape
      (7, 2, 4)
    """
    return Spread(mesh, fold)
