"""Cuts: rows that begin anew within a sequence."""

import dataclasses
from typing import Any, NamedTuple

from jaxrnn.cell import Cell
from jaxrnn.wrappers.masked import select
from jaxrnn.wrappers.wrapper import Wrapper


class ResettingCarry(NamedTuple):
    """The carry of the cell inside, and the one that a cut row begins with."""

    inner: Any
    start: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Resetting(Wrapper):
    """A cell whose rows begin anew at instants that are flagged.

        carry = reset ? start : carry,    then one instant of the cell

    The start rides in the carry, since it may be learned: its cotangent gathers there.
    """

    cell: Cell

    def initial_carry(self, batch_shape=()):
        """The initial carry of the cell inside, twice."""
        carry = self.cell.initial_carry(batch_shape)
        return ResettingCarry(inner=carry, start=carry)

    def start(self, params, batch_shape=()):
        """The start of the cell inside, twice."""
        carry = self.cell.start(params, batch_shape)
        return ResettingCarry(inner=carry, start=carry)

    def extras(self, key, like, carry):
        """Nothing of its own making: the flags come with the sequence."""
        del key, like, carry
        return None

    def before(self, carry, extra):
        """The start where a row is cut, else the carry."""
        return carry.inner if extra is None else select(extra, carry.start, carry.inner)

    def after(self, carry, new, extra):
        """The cell's carry; the start as it was."""
        del extra
        return ResettingCarry(inner=new, start=carry.start)
