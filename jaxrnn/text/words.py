"""Words of different lengths as arrays of one length."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxrnn.errors import CorpusError
from jaxrnn.text.vocabulary import Vocabulary


class Words(NamedTuple):
    """Inputs, targets one instant later, and where they are real; each [words, time]."""

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray  # True inside the word


def pad_words(vocabulary: Vocabulary, words: Sequence[str], end: str = "\n") -> Words:
    r"""Encode words, each followed by an end token, padded to the length of the longest.

    Every word is to be read from a fresh carry. Padding stands behind the word, so a loss that is
    zero outside the mask has the gradient of the unpadded word.

    Args:
      vocabulary: knows the words and the end.
      words: at least one, none of them empty.
      end: what the last token of a word predicts.

    Raises:
      CorpusError: if there is no word, or an empty one.
      VocabularyError: if a character is unknown.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> inputs, targets, mask = pad_words(CharVocabulary("\nab"), ["ab", "b"])
      >>> inputs.tolist(), targets.tolist(), mask.tolist()
      ([[1, 2], [2, 0]], [[2, 0], [0, 0]], [[True, True], [True, False]])
    """
    if not words or not all(words):
        raise CorpusError("there is no word to learn: give words of at least one character.")
    length = max(map(len, words))
    mask = np.array([[t < len(word) for t in range(length)] for word in words])
    inputs, targets = (np.zeros(mask.shape, np.int32) for _ in range(2))
    for row, word in enumerate(words):
        inputs[row, : len(word)] = vocabulary.encode(word)
        targets[row, : len(word)] = vocabulary.encode(word[1:] + end)
    return Words(inputs=inputs, targets=targets, mask=mask)
