"""Looking inside: carries and gates as outputs."""

import dataclasses
from typing import Any, NamedTuple

from jaxrnn.cell import Cell
from jaxrnn.wrappers.around import Around


class Record(NamedTuple):
    """What a cell did at every instant.

    Attributes:
      carry: what it handed on, with a leading axis of time.
      gates: what `Cell.inspect` showed: `LSTMGates`, `GRUGates`, or `()` for cells without gates.
    """

    carry: Any
    gates: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Recording(Around):
    """A cell whose output is `(y, Record)`: for reading out states, not for speed."""

    cell: Cell

    def project(self, params, xs):
        """The projection of the cell inside."""
        return self.cell.project(params, xs)

    def step(self, params, carry, drive):
        """One instant of the cell inside, and what it did."""
        gates = self.cell.inspect(params, carry, drive)
        carry, y = self.cell.step(params, carry, drive)
        return carry, (y, Record(carry=carry, gates=gates))
