"""Which part of a text is held out: by a share of one's own, or as in one of three lineages.

A loss on "the validation part" means nothing without the split. On the same text these three hold
out different parts, and a figure may only be compared with one from the same split.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.errors import CorpusError, InputError
from jaxrnn.text.unread import Unread, sequence, side_by_side


class Split(NamedTuple):
    """A text in parts, each [time] or, of several streams, [time, streams]; and how it was parted.

    A part is a view of the tokens, or as unread as they are.

    Attributes:
      train: to learn from.
      validation: to choose by.
      test: to report; empty where the split has none.
      name: of the way it was parted.
    """

    train: np.ndarray | Unread
    validation: np.ndarray | Unread
    test: np.ndarray | Unread
    name: str


def split(tokens, held_out: float = 0.1) -> Split:
    """Hold out the end of a sequence, in one piece, so that no window overlaps the other part.

    Args:
      tokens: [time].
      held_out: share of the sequence at its end, above 0 and at most 1.

    Raises:
      CorpusError: if the share is out of range or holds out fewer than two tokens.

    Example:
      >>> train, validation, test, name = split(np.arange(100))
      >>> len(train), len(validation), len(test), name
      (90, 10, 0, 'last 10% of the text')
    """
    if not 0 < held_out <= 1:
        raise CorpusError(f"held out is {held_out}; give a share above 0 and at most 1.")
    tokens = sequence(tokens)
    boundary = len(tokens) - round(len(tokens) * held_out)
    name = f"last {100 * held_out:.4g}% of the text"
    return _checked(len(tokens), tokens[:boundary], tokens[boundary:], tokens[:0], name)


def split_90_10(tokens) -> Split:
    """The first ⌊0.9 n⌋ tokens, and the rest for validation.

    Source: nanoGPT (Karpathy, 2022), data/shakespeare_char/prepare.py.

    Args:
      tokens: [time].

    Raises:
      CorpusError: if fewer than two tokens are held out.

    Example:
      >>> split = split_90_10(np.arange(1_115_394))  # the characters of tinyshakespeare
      >>> len(split.train), len(split.validation)
      (1003854, 111540)
    """
    tokens = sequence(tokens)
    boundary = len(tokens) * 9 // 10
    parts = tokens[:boundary], tokens[boundary:], tokens[:0]
    return _checked(len(tokens), *parts, name="90/10 in one piece each, as in nanoGPT")


def split_80_10_10(tokens) -> Split:
    """⌊0.1 n⌋ tokens at the end for a test, as many before them for validation, and the rest.

    Source: torch-rnn (Johnson, 2016), scripts/preprocess.py.

    Args:
      tokens: [time].

    Raises:
      CorpusError: if fewer than two tokens are held out.

    Example:
      >>> split = split_80_10_10(np.arange(1_115_394))
      >>> len(split.train), len(split.validation), len(split.test)
      (892316, 111539, 111539)
    """
    tokens = sequence(tokens)
    tenth = len(tokens) // 10
    validation, test = len(tokens) - 2 * tenth, len(tokens) - tenth
    parts = tokens[:validation], tokens[validation:test], tokens[test:]
    return _checked(len(tokens), *parts, name="80/10/10 in one piece each, as in torch-rnn")


def split_columns_95_5(tokens, streams: int = 50, length: int = 50) -> Split:
    """The text as `streams` rows side by side; the last columns of all rows are held out.

    The rows are cut into columns of `length` tokens, of which the first ⌊95 %⌋ are for training. So
    what is held out lies in `streams` places all over the text, and WHICH places depends on
    `streams` and `length`, in char-rnn the batch size and the length of backpropagation: figures
    are comparable at equal numbers only, and 50 and 50 are char-rnn's.

    Source: char-rnn (Karpathy, 2015), util/CharSplitLMMinibatchLoader.lua. Differs from it at the
    end of a text of exactly `streams` · `length` · n tokens, whose last target is there the first
    token of the text: the last column is left out here, for want of a true target.

    Args:
      tokens: [time].
      streams: number of rows.
      length: tokens in a column.

    Returns:
      Parts of shape [time + 1, streams]: a part ends with the first token of what follows, which is
      its last target and no input. What stands behind the last whole column is not used.

    Raises:
      InputError: if a number is not positive.
      CorpusError: if there are fewer than two columns.

    Example:
      >>> split = split_columns_95_5(np.arange(1_115_394))
      >>> split.train.shape, split.validation.shape  # 423 and 23 columns
      ((21151, 50), (1151, 50))
    """
    tokens = sequence(tokens)
    for name, number in (("streams", streams), ("length", length)):
        if number < 1:
            raise InputError(f"{name} is {number}; give a positive number.")
    columns = (len(tokens) - 1) // (streams * length)
    if columns < 2:
        raise CorpusError(
            f"the text has {len(tokens):,} tokens, but two columns of {streams} streams of "
            f"{length} need at least {2 * streams * length + 1:,}: give more, or smaller numbers."
        )
    rows = side_by_side(tokens, streams, columns * length)
    boundary = columns * 95 // 100 * length
    return Split(
        train=rows[: boundary + 1],
        validation=rows[boundary:],
        test=rows[:0],
        name=f"columns 95/5 of {streams} streams and lengths of {length}, as in char-rnn",
    )


def _checked(count, train, validation, test, name):
    if len(validation) < 2:
        raise CorpusError(
            f"{count:,} tokens leave {len(validation)} to validate on, but a prediction needs at "
            "least 2: give more text."
        )
    return Split(train=train, validation=validation, test=test, name=name)
