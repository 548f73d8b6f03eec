"""What all vocabularies share, and what may become of the parts of a text that one does not know.

A vocabulary's `lookup` gives −1 for what it does not know. What becomes of that is for a policy to
say, `(vocabulary, text) -> tokens`: `refuse`, `skip` or `replace(by)`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrnn.errors import VocabularyError

UNKNOWN = -1

Decoder = Callable[..., str]  # decoder(tokens, final=False)
Policy = Callable[[Any, str], np.ndarray]


def refuse(vocabulary, text) -> np.ndarray:
    """The tokens of a text of which everything is known.

    Args:
      vocabulary: what the tokens mean.
      text: what to encode.

    Returns:
      [length], int32.

    Raises:
      VocabularyError: naming the first thing that is unknown.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> refuse(CharVocabulary("abc"), "a?b")
      Traceback (most recent call last):
      jaxrnn.errors.VocabularyError: the character '?' (U+003F) at position 1 is not among the ...
    """
    tokens = vocabulary.lookup(text)
    if (tokens == UNKNOWN).any():
        raise VocabularyError(vocabulary.explain_unknown(text))
    return tokens


def skip(vocabulary, text) -> np.ndarray:
    """The tokens of what is known in a text; the rest is left out.

    Args:
      vocabulary: what the tokens mean.
      text: what to encode.

    Returns:
      [length], int32.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> skip(CharVocabulary("abc"), "a?b").tolist()
      [0, 1]
    """
    tokens = vocabulary.lookup(text)
    return tokens[tokens != UNKNOWN]


def replace(by: str) -> Policy:
    """A policy that puts one character or word in the place of everything that is unknown.

    Args:
      by: what the vocabulary knows as one token; of a word vocabulary "\ufffd" is its mark of an
        unknown word.

    Returns:
      `(vocabulary, text) -> tokens`, which raises a VocabularyError if `by` is not one token.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> replace(" ")(CharVocabulary(" abc"), "a?b").tolist()
      [1, 0, 2]
    """

    def policy(vocabulary, text):
        replacement = refuse(vocabulary, by)
        if len(replacement) != 1:
            raise VocabularyError(
                f"{by!r} is {len(replacement)} {vocabulary.unit}s, but what is unknown is replaced "
                "by one: give a shorter replacement."
            )
        tokens = vocabulary.lookup(text)
        return np.where(tokens == UNKNOWN, replacement, tokens)

    return policy


def checked_tokens(tokens, size: int) -> np.ndarray:
    """Tokens as int64, all of them within the vocabulary.

    Args:
      tokens: [length].
      size: of the vocabulary.

    Raises:
      VocabularyError: if one is not.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < size:
        raise VocabularyError(
            f"tokens run from {tokens.min()} to {tokens.max()}, but the vocabulary has the "
            f"{size} tokens 0 to {size - 1}."
        )
    return tokens
