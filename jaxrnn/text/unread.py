"""Sequences that are read only where one looks: a part of one is cut before it is in memory.

A slice of an array is a view, and costs nothing until it is used; a slice of an `Unread` likewise.
So code that cuts first and then calls `numpy.asarray` serves both, and never holds the whole.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Unread:
    """A sequence [time, *streams] somewhere else; `numpy.asarray` reads it.

    Args:
      read: `(begin, end) -> array`, the instants from `begin` to before `end`.
      begin: the first instant.
      end: the one after the last.
      streams: what follows time in the shape.

    Example:
      >>> sequence = Unread(np.arange, 0, 10**15)
      >>> part = sequence[5:][:3]
      >>> part, np.asarray(part)
      (<3 instants, unread>, array([5, 6, 7]))
    """

    read: Callable[[int, int], np.ndarray]
    begin: int
    end: int
    streams: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """[time, *streams]."""
        return (len(self), *self.streams)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of tokens."""
        size = len(self)
        for streams in self.streams:
            size *= streams
        return size

    def __len__(self) -> int:
        return self.end - self.begin

    def __getitem__(self, part: slice) -> "Unread":
        """A part of it in time, still unread."""
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise TypeError(f"only a part from one instant to another can be cut, not {part!r}.")
        begin, end, _ = part.indices(len(self))
        begin, end = self.begin + begin, self.begin + max(begin, end)
        return dataclasses.replace(self, begin=begin, end=end)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """What is in it, read now."""
        return np.array(self.read(self.begin, self.end), dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<{' × '.join(map(str, self.shape))} instants, unread>"


def sequence(tokens) -> "np.ndarray | Unread":
    """Tokens as something that can be cut: an array, or what is unread as it is."""
    return tokens if isinstance(tokens, Unread) else np.asarray(tokens)


def side_by_side(tokens, streams: int, length: int):
    """The beginning of a sequence as streams, each of which ends with the next one's first token.

    Args:
      tokens: [time], at least `streams` · `length` + 1 of them.
      streams: number of streams.
      length: instants in a stream, without the one that it shares with the next.

    Returns:
      [length + 1, streams]: a view of an array, or unread.

    Example:
      >>> side_by_side(np.arange(7), streams=2, length=3).T.tolist()
      [[0, 1, 2, 3], [3, 4, 5, 6]]
    """
    if not isinstance(tokens, Unread):
        overlapping = np.lib.stride_tricks.sliding_window_view(tokens, length + 1)
        return overlapping[::length][:streams].T

    first, last = tokens.begin, tokens.begin + streams * length

    def read(begin, end):
        places = range(first, last, length)
        return np.stack([tokens.read(place + begin, place + end) for place in places], axis=1)

    return Unread(read, 0, length + 1, (streams,))


def share_of(tokens, token: int, piece: int = 2**20) -> float:
    """How much of a sequence is one token.

    Args:
      tokens: [time, *streams].
      token: which one.
      piece: instants read at once.

    Example:
      >>> share_of([0, 1, 0, 2], 0)
      0.5
    """
    tokens = sequence(tokens)
    begins = range(0, len(tokens), piece)
    found = sum(int((np.asarray(tokens[at : at + piece]) == token).sum()) for at in begins)
    return found / tokens.size
