"""Batches of a text, for truncated backpropagation: each a function of the text and a number."""

import dataclasses

import numpy as np

from jaxrnn.errors import InputError
from jaxrnn.text.unread import Unread, sequence, side_by_side
from jaxrnn.training import Windows
from jaxrnn.training.windows import check_counts, check_enough


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Windows of streams of text, cut when they are asked for: `batches[n]` is the n-th.

    Window n + 1 begins where window n ended, so the carry may be handed on. Nothing wraps around:
    up to `length` instants at the end remain unused.

    Args:
      streams: [time, batch], an array or unread.
      length: instants in a window.

    Example:
      >>> batches = Batches(np.arange(10).reshape(5, 2), length=2)
      >>> inputs, targets = batches[1]
      >>> len(batches), inputs.T.tolist(), targets.T.tolist()
      (2, [[4, 6], [5, 7]], [[6, 8], [7, 9]])
    """

    streams: np.ndarray | Unread
    length: int

    def __len__(self) -> int:
        return (len(self.streams) - 1) // self.length

    def __getitem__(self, number: int) -> Windows:
        """Inputs and targets, both [length, batch], int32."""
        begin = range(len(self))[number] * self.length
        piece = np.array(self.streams[begin : begin + self.length + 1], np.int32, order="C")
        return Windows(inputs=piece[:-1], targets=piece[1:])


def training_windows(part, batch: int, length: int) -> Batches:
    """Windows of the training part of any split, for truncated backpropagation.

    Nothing is copied: a window is cut when it is asked for.

    Args:
      part: [time], of which `batch` streams are made that begin as far apart as whole windows
        allow; or [time, streams] if the split made the streams.
      batch: number of streams.
      length: instants in a window.

    Raises:
      InputError: if a number is not positive, or the split made another number of streams.
      CorpusError: if the part is too short for one window.

    Example:
      >>> windows = training_windows(np.arange(13), batch=2, length=3)
      >>> len(windows), windows[0].inputs.T.tolist(), windows[1].targets.T.tolist()
      (2, [[0, 1, 2], [6, 7, 8]], [[4, 5, 6], [10, 11, 12]])
      >>> from jaxrnn.text.splits import split_columns_95_5
      >>> split = split_columns_95_5(np.arange(401), streams=2, length=10)
      >>> len(training_windows(split.train, batch=2, length=5))
      38
    """
    part = sequence(part)
    check_counts(batch=batch, length=length)
    if part.ndim > 1:
        if part.shape[1] != batch:
            raise InputError(
                f"the split made {part.shape[1]} streams, but the batch is {batch}: make them "
                "equal."
            )
        check_enough(part, length + 1, f"a window of {length}")
        return Batches(part, length)
    check_enough(part, batch * length + 1, f"{batch} streams of {length}")
    windows = (len(part) - 1) // (batch * length)
    return Batches(side_by_side(part, batch, windows * length), length)
