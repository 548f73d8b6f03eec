"""Cutting a long sequence into windows of inputs and targets, the target being the next instant."""

import numbers
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.errors import CorpusError, InputError


class Windows(NamedTuple):
    """Inputs and, one instant later, targets, in one layout."""

    inputs: np.ndarray
    targets: np.ndarray


def contiguous_windows(tokens, batch: int, length: int) -> Windows:
    """Cut a sequence into `batch` streams and those into windows, for truncated backpropagation.

    Stream b of window n + 1 begins where stream b of window n ended, so the carry may be handed on.
    Nothing wraps around: up to batch·length instants at the end remain unused.

    Args:
      tokens: [time, *features].
      batch: number of streams.
      length: instants in a window.

    Returns:
      Inputs and targets, both [windows, length, batch, *features].

    Raises:
      InputError: if batch or length is not positive.
      CorpusError: if the sequence is too short for one window.

    Example:
      >>> inputs, targets = contiguous_windows(np.arange(13), batch=2, length=3)
      >>> inputs[0].T.tolist(), inputs[1].T.tolist()
      ([[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]])
      >>> targets[1].T.tolist()
      [[4, 5, 6], [10, 11, 12]]
    """
    tokens = np.asarray(tokens)
    check_counts(batch=batch, length=length)
    check_enough(tokens, batch * length + 1, f"{batch} streams of {length}")
    windows = (len(tokens) - 1) // (batch * length)
    used = windows * batch * length

    def cut(sequence):
        streams = sequence.reshape(batch, windows, length, *tokens.shape[1:])
        return np.ascontiguousarray(np.moveaxis(streams, 0, 2))

    return Windows(inputs=cut(tokens[:used]), targets=cut(tokens[1 : used + 1]))


def sliding_windows(tokens, length: int, stride: int = 1) -> Windows:
    """Every window of a sequence, `stride` instants apart, each to be started with a fresh carry.

    Args:
      tokens: [time, *features].
      length: instants in a window.
      stride: instants from the beginning of one window to the next.

    Returns:
      Inputs and targets, both [length, windows, *features]: the windows are the batch, and
      `inputs[:, chosen]` is a smaller one. Both are read-only views, so overlap costs no memory.

    Raises:
      InputError: if length or stride is not positive.
      CorpusError: if the sequence is too short for one window.

    Example:
      >>> inputs, targets = sliding_windows(np.arange(6), length=3, stride=2)
      >>> inputs.T.tolist(), targets.T.tolist()
      ([[0, 1, 2], [2, 3, 4]], [[1, 2, 3], [3, 4, 5]])
    """
    tokens = np.asarray(tokens)
    check_counts(length=length, stride=stride)
    check_enough(tokens, length + 1, f"one window of {length}")

    def slide(sequence):
        windows = np.lib.stride_tricks.sliding_window_view(sequence, length, axis=0)
        return np.moveaxis(windows[::stride], -1, 0)

    return Windows(inputs=slide(tokens[:-1]), targets=slide(tokens[1:]))


def check_counts(**counts: Any) -> None:
    """Raise InputError if a number is not a positive integer."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 1:
            raise InputError(f"{name} is {count!r}; give a positive integer.")


def check_enough(tokens, needed: int, purpose: str) -> None:
    """Raise CorpusError if a sequence is shorter than some purpose needs."""
    if len(tokens) < needed:
        raise CorpusError(
            f"the sequence has {len(tokens):,} tokens, but {purpose} and the token after them need "
            f"at least {needed:,}: give a longer one, or make the batch or the window smaller."
        )
