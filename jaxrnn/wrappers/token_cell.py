"""Tokens instead of their vectors: what a cell makes of each is looked up, not multiplied."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from jaxrnn.cell import (
    Cell,
    ManualCell,
    derivative_is_its_own,
    drive_cotangent_is_its_own,
    parameter_dtype,
    specification,
)


class TokenCellParams(NamedTuple):
    """Parameters of the cell inside, and what it makes of the vector of every token.

    Attributes:
      cell: what `step` reads of these is used.
      drives: `cell.project` of all vectors, `[tokens, …]`; one more row, if there is one, is for
        ids that are no token's.
    """

    cell: Any
    drives: Any


@dataclasses.dataclass(frozen=True, repr=False)
class TokenCell(ManualCell):
    """A cell that reads token ids; made, with its parameters, by `token_cell`.

        project(E[token]) = project(E)[token]

    A language model multiplies one of few vectors with the input kernel at every instant of every
    row. The few products can be taken first: then the input costs a row of a table, its gradient a
    sum over the instants of every token, and the input kernel multiplies (and its gradient
    contracts) as many vectors as there are tokens, however long the sequence.

    An id that is no token's reads the row after the last; where there is none, NaN.

    Attributes:
      cell: the cell inside.
      tokens: how many there are.
    """

    cell: Cell
    tokens: int

    @property
    def input_size(self) -> int:
        """How many tokens there are."""
        return self.tokens

    @property
    def output_size(self) -> int:
        """Width that the cell inside writes."""
        return self.cell.output_size

    @property
    def takes_tokens(self) -> bool:
        """True."""
        return True

    @property
    def knows_backward(self) -> bool:
        """Whether the cell inside does (and no subclass changed what this one does)."""
        return self.cell.knows_backward and derivative_is_its_own(type(self))

    def __repr__(self) -> str:
        return repr(self.cell)  # Whoever reads an error has made that one.

    def init(self, key):
        """Parameters of the cell inside, and its projection of one zero vector for every token."""
        params = self.cell.init(key)
        vectors = jnp.zeros((self.tokens, self.cell.input_size), parameter_dtype(params))
        return TokenCellParams(params, self.cell.project(params, vectors))

    def initial_carry(self, batch_shape=()):
        """The initial carry of the cell inside."""
        return self.cell.initial_carry(batch_shape)

    def start(self, params, batch_shape=()):
        """The start of the cell inside."""
        return self.cell.start(params.cell, batch_shape)

    def project(self, params, xs):
        """The rows of the table."""
        rows = self._rows(xs)

        def look_up(table):
            return table.at[rows].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

        return jax.tree.map(look_up, params.drives)

    def step(self, params, carry, drive):
        """That of the cell inside."""
        return self.cell.step(params.cell, carry, drive)

    def inspect(self, params, carry, drive):
        """What the cell inside shows."""
        return self.cell.inspect(params.cell, carry, drive)

    def forward(self, params, carry, drive):
        """That of the cell inside."""
        return self.cell.forward(params.cell, carry, drive)

    def backward(self, params, residual, d_carry, d_y):
        """That of the cell inside."""
        return self.cell.backward(params.cell, residual, d_carry, d_y)

    def gradients(self, params, xs, residuals, d_drives):
        """Of what `step` reads, as the cell inside says; of the table, a sum for every token."""
        # The cell would contract its inputs as well. What comes of that is not used, and XLA does
        # not compute it: the gradient of what `project` reads goes through the table.
        width, dtype = self.cell.input_size, parameter_dtype(params)
        nothing = jnp.zeros((*xs.shape, width), dtype)
        d_cell, _ = self.cell.gradients(params.cell, nothing, residuals, d_drives)
        d_cell = jax.tree.map(
            lambda d, p, is_read: d if is_read else jnp.zeros_like(p),
            *(d_cell, params.cell, _read_by_step(self.cell)),
        )
        rows = self._rows(xs)

        def add_up(table, d_drive):
            zeros = jnp.zeros(table.shape, d_drive.dtype)
            return zeros.at[rows].add(d_drive, mode="drop", wrap_negative_indices=False)

        d_drives = self.cell.drive_cotangent(d_drives)
        return TokenCellParams(d_cell, jax.tree.map(add_up, params.drives, d_drives)), None

    def _rows(self, xs):
        xs = xs.astype(jnp.int32)  # A narrower integer may end before the row after the last.
        return jnp.where((xs >= 0) & (xs < self.tokens), xs, self.tokens)


def token_cell(
    cell: Cell, params: Any, vectors: jax.Array, tokens: int
) -> tuple[TokenCell, TokenCellParams] | None:
    """A cell and its parameters, for reading tokens where the cell reads their vectors.

    Args:
      cell: any cell.
      params: its parameters.
      vectors: `[tokens, input_size]`; a further row is what an id reads that is no token's.
      tokens: how many there are.

    Returns:
      A cell with the carry and the outputs of `cell`, and its parameters; None where the derivative
      by hand cannot be taken apart: the cell does not say `drive_cotangent`, its `project` and
      `step` read the same parameter, or `step` multiplies the input itself.

    Example:
      >>> import jaxrnn
      >>> cell = jaxrnn.GRU(2, 4)
      >>> params, vectors = cell.init(jax.random.key(0)), jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> reader, own = token_cell(cell, params, vectors, tokens=2)
      >>> tokens = jnp.array([1, 0, 1])
      >>> carry, ys = jaxrnn.folds.bptt(reader, own, reader.initial_carry(), tokens)
      >>> _, same = jaxrnn.folds.bptt(cell, params, cell.initial_carry(), vectors[tokens])
      >>> bool(jnp.allclose(ys, same, atol=1e-6))
      True
    """
    if cell.knows_backward and not _is_separable(cell):
        return None
    return TokenCell(cell, tokens), TokenCellParams(params, cell.project(params, vectors))


@functools.lru_cache(maxsize=1024)
def _is_separable(cell: ManualCell) -> bool:
    if not drive_cotangent_is_its_own(type(cell)):
        return False
    by_project = _read(cell.project, specification(cell), _input(cell))
    uses = *map(jax.tree.leaves, (by_project, _read_by_step(cell))), _contracted_with_inputs(cell)
    return not any(
        is_read and (projects or needs_inputs)
        for projects, is_read, needs_inputs in zip(*uses, strict=True)
    )


def _contracted_with_inputs(cell: ManualCell) -> list[bool]:
    """Of each parameter, whether `gradients` makes its cotangent of the inputs."""
    params, x = specification(cell), _input(cell)
    carry = jax.eval_shape(cell.start, params)
    drive = jax.eval_shape(cell.project, params, x)
    carry, y, residual = jax.eval_shape(cell.forward, params, carry, drive)
    d_drive = jax.eval_shape(cell.backward, params, residual, carry, y)[1]
    xs, residuals, d_drives = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), (x, residual, d_drive)
    )
    program = jax.make_jaxpr(lambda xs, *others: cell.gradients(others[0], xs, *others[1:])[0])(
        xs, params, residuals, d_drives
    ).jaxpr
    made = {program.invars[0]}
    for equation in program.eqns:
        if any(isinstance(value, Var) and value in made for value in equation.invars):
            made.update(equation.outvars)
    return [isinstance(value, Var) and value in made for value in program.outvars]


@functools.lru_cache(maxsize=1024)
def _read_by_step(cell: Cell) -> Any:
    params = specification(cell)
    drive = jax.eval_shape(cell.project, params, _input(cell))
    return _read(cell.step, params, jax.eval_shape(cell.start, params), drive)


def _input(cell: Cell) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((cell.input_size,), parameter_dtype(specification(cell)))


def _read(function: Callable[..., Any], params: Any, *others: Any) -> Any:
    """Which parameters a function reads: a flag for each, read off its program."""
    program = jax.make_jaxpr(function)(params, *others).jaxpr
    values = [value for equation in program.eqns for value in equation.invars] + program.outvars
    read = {value for value in values if isinstance(value, Var)}
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([value in read for value in program.invars[: len(leaves)]])
