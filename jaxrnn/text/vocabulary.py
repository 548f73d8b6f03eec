"""Vocabularies: text to tokens and back, without loss; and out of a file."""

from collections.abc import Mapping
from typing import Any

from jaxrnn.errors import ModelFileError, VocabularyError
from jaxrnn.text.byte_vocabulary import ByteVocabulary
from jaxrnn.text.char_vocabulary import CharVocabulary
from jaxrnn.text.word_vocabulary import WordVocabulary

Vocabulary = CharVocabulary | ByteVocabulary | WordVocabulary


def vocabulary_from_description(description: Any) -> Vocabulary:
    """The vocabulary that `describe` described.

    Args:
      description: what came out of a file, so nothing about it is taken for granted.

    Raises:
      ModelFileError: if it is not the description of a vocabulary.

    Example:
      >>> vocabulary_from_description({"type": "CharVocabulary", "characters": "ab"})
      CharVocabulary(characters='ab')
    """
    match description:
        case {"type": "ByteVocabulary", **rest} if not rest:
            return ByteVocabulary()
        case {"type": "CharVocabulary", "characters": str(characters), **rest} if not rest:
            try:
                return CharVocabulary(characters)
            except VocabularyError as error:
                raise ModelFileError(f"the file's vocabulary is wrong: {error}") from error
        case {"type": "WordVocabulary", "words": list(words), **rest} if not rest:
            try:
                return WordVocabulary(tuple(words))
            except VocabularyError as error:
                raise ModelFileError(f"the file's vocabulary is wrong: {error}") from error
    kind = description.get("type") if isinstance(description, Mapping) else description
    raise ModelFileError(f"the file describes no vocabulary that is known here: {kind!r:.80}.")
