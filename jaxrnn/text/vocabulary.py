"""Vocabularies: text to tokens and back, without loss."""

import codecs
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxrnn.errors import ModelFileError, VocabularyError

Decoder = Callable[..., str]  # decoder(tokens, final=False)


@dataclasses.dataclass(frozen=True)
class CharVocabulary:
    """Unicode code points; a character's token is its place in `characters`.

    Args:
      characters: every known character once.

    Raises:
      VocabularyError: if there is none, or one occurs twice.

    Example:
      >>> vocabulary = CharVocabulary.from_text("banana")
      >>> vocabulary.characters, vocabulary.encode("nab").tolist(), vocabulary.decode([2, 0, 1])
      ('abn', [2, 0, 1], 'nab')
    """

    characters: str

    def __post_init__(self):
        """Refuse a vocabulary that cannot tell its tokens apart."""
        if not self.characters or len(set(self.characters)) != len(self.characters):
            raise VocabularyError("a vocabulary needs at least one character, and each only once.")

    @classmethod
    def from_text(cls, text: str) -> "CharVocabulary":
        """The characters of a text, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.characters)

    @property
    def unit(self) -> str:
        """What a token is, for messages."""
        return "character"

    @property
    def beginning(self) -> str:
        """What to begin a text with if nobody says: a line end, if there is one."""
        return "\n" if "\n" in self.characters else self.characters[0]

    def encode(self, text: str) -> np.ndarray:
        """Tokens [length] of a text, int32.

        Raises:
          VocabularyError: naming the first unknown character and its position.
        """
        known, wanted = _code_points(self.characters), _code_points(text)
        order = np.argsort(known)
        places = np.searchsorted(known[order], wanted)
        # What lies beyond the last known character is mapped to it here, and found unequal below.
        tokens = order[np.minimum(places, self.size - 1)]
        unknown = np.flatnonzero(known[tokens] != wanted)
        if unknown.size:
            raise VocabularyError(_unknown_character(text, int(unknown[0]), self.size))
        return tokens.astype(np.int32)

    def decode(self, tokens) -> str:
        """The text of tokens [length].

        Raises:
          VocabularyError: if a token lies outside the vocabulary.
        """
        tokens = _checked(tokens, self.size)
        code_points = _code_points(self.characters)[tokens]
        return code_points.tobytes().decode("utf-32-le", errors="surrogatepass")

    def decoder(self) -> Decoder:
        """A function `(tokens, final=False) -> str` for text that arrives in pieces."""
        return lambda tokens, final=False: self.decode(tokens)

    def describe(self) -> dict[str, Any]:
        """A JSON-able description; `vocabulary_from_description` reads it."""
        return {"type": "CharVocabulary", "characters": self.characters}


@dataclasses.dataclass(frozen=True)
class ByteVocabulary:
    """The 256 bytes; text is read and written as UTF-8, so it knows every text and any file.

    Example:
      >>> ByteVocabulary().encode("é").tolist(), ByteVocabulary().decode([195, 169])
      ([195, 169], 'é')
    """

    @property
    def size(self) -> int:
        """Number of tokens."""
        return 256

    @property
    def unit(self) -> str:
        """What a token is, for messages."""
        return "byte"

    @property
    def beginning(self) -> str:
        """What to begin a text with if nobody says: a line end."""
        return "\n"

    def encode(self, text: str | bytes) -> np.ndarray:
        """Tokens [length] of a text or of raw bytes, int32.

        Raises:
          VocabularyError: if the text holds half a surrogate pair, which has no UTF-8 form.
        """
        try:
            raw = text if isinstance(text, bytes) else text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise VocabularyError(
                f"the character at position {error.start} is half a surrogate pair, which has no "
                "UTF-8 form: remove it."
            ) from error
        return np.frombuffer(raw, np.uint8).astype(np.int32)

    def decode(self, tokens) -> str:
        """The text of tokens [length]; bytes that are no UTF-8 become U+FFFD.

        Raises:
          VocabularyError: if a token is no byte.
        """
        return self.decoder()(tokens, final=True)

    def decoder(self) -> Decoder:
        """A function `(tokens, final=False) -> str` that holds half a character back until its end.

        Example:
          >>> decoder = ByteVocabulary().decoder()
          >>> [decoder([byte]) for byte in (195, 169, 33)]
          ['', 'é', '!']
        """
        utf_8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda tokens, final=False: utf_8.decode(
            _checked(tokens, self.size).astype(np.uint8).tobytes(), final
        )

    def describe(self) -> dict[str, Any]:
        """A JSON-able description; `vocabulary_from_description` reads it."""
        return {"type": "ByteVocabulary"}


Vocabulary = CharVocabulary | ByteVocabulary


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
    kind = description.get("type") if isinstance(description, Mapping) else description
    raise ModelFileError(f"the file describes no vocabulary that is known here: {kind!r:.80}.")


def _code_points(text):
    # `surrogatepass` lets half a surrogate pair through: a Python string may hold one.
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)


def _checked(tokens, size):
    tokens = np.asarray(tokens, dtype=np.int64)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < size:
        raise VocabularyError(
            f"tokens run from {tokens.min()} to {tokens.max()}, but the vocabulary has the "
            f"{size} tokens 0 to {size - 1}."
        )
    return tokens


def _unknown_character(text, position, size):
    character = text[position]
    return (
        f"the character {character!r} (U+{ord(character):04X}) at position {position} is not among "
        f"the {size} characters of the vocabulary: leave it out; a model trained with --bytes "
        "knows every character."
    )
