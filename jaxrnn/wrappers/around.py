"""What cells around a cell share."""

from typing import Any

import jax

from jaxrnn.cell import Cell


class Around(Cell):
    """A cell around a cell: what it does not say itself is as the cell inside has it.

    Attributes:
      cell: the cell inside.
    """

    cell: Cell

    @property
    def input_size(self) -> int:
        """Width that the cell inside reads."""
        return self.cell.input_size

    @property
    def takes_tokens(self) -> bool:
        """Whether the cell inside reads token ids."""
        return self.cell.takes_tokens

    def init(self, key: jax.Array) -> Any:
        """Parameters of the cell inside."""
        return self.cell.init(key)

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> Any:
        """The initial carry of the cell inside."""
        return self.cell.initial_carry(batch_shape)

    def start(self, params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The start of the cell inside."""
        return self.cell.start(params, batch_shape)
