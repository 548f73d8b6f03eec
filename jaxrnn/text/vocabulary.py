"""Vocabularies: text to tokens and back, without loss; and out of a file."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxrnn.errors import InputError, ModelFileError, VocabularyError
from jaxrnn.text.byte_vocabulary import ByteVocabulary
from jaxrnn.text.char_vocabulary import CharVocabulary
from jaxrnn.text.word_vocabulary import WordVocabulary

Vocabulary = CharVocabulary | ByteVocabulary | WordVocabulary


def choose_vocabulary(
    pieces: Iterable[str | bytes], as_bytes: bool = False, words: int | None = None
) -> Vocabulary:
    """The vocabulary for a text: its characters, unless bytes or words are asked for.

    Args:
      pieces: the text, cut anywhere; not looked at for bytes.
      as_bytes: whether bytes are asked for.
      words: how many words, or None.

    Raises:
      InputError: if bytes and words are asked for.
      VocabularyError: if there is no room for a word.

    Example:
      >>> choose_vocabulary(["ban", "ana"])
      CharVocabulary(characters='abn')
    """
    check_choice(as_bytes, words)
    if as_bytes:
        return ByteVocabulary()
    if words is not None:
        return WordVocabulary.from_pieces(pieces, limit=words)
    return CharVocabulary.from_pieces(pieces)


def check_choice(as_bytes: bool, words: int | None) -> None:
    """Raise InputError if bytes and words are asked for, or too few words."""
    if as_bytes and words is not None:
        raise InputError("bytes or words: give --bytes or --words, not both.")
    if words is not None:
        WordVocabulary.check_limit(words)


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
