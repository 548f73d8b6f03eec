"""Bytes as tokens."""

import codecs
import dataclasses
import re
from typing import Any

import numpy as np

from jaxrnn.text.tokens import UNKNOWN, Decoder, checked_tokens, refuse

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


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

    def lookup(self, text: str | bytes) -> np.ndarray:
        """Tokens [length] of a text or of raw bytes, int32, with −1 for half a surrogate pair."""
        if isinstance(text, bytes):
            return np.frombuffer(text, np.uint8).astype(np.int32)
        parts = _HALF_A_PAIR.split(text)
        tokens = [np.frombuffer(part.encode("utf-8"), np.uint8).astype(np.int32) for part in parts]
        unknown = np.full(1, UNKNOWN, np.int32)
        return np.concatenate([piece for part in tokens for piece in (part, unknown)][:-1])

    def encode(self, text: str | bytes) -> np.ndarray:
        """Tokens [length] of a text or of raw bytes, int32.

        Raises:
          VocabularyError: if the text holds half a surrogate pair, which has no UTF-8 form.
        """
        return refuse(self, text)

    def explain_unknown(self, text: str) -> str:
        """The sentence about the first half of a surrogate pair in a text."""
        return (
            f"the character at position {_HALF_A_PAIR.search(text).start()} is half a surrogate "
            "pair, which has no UTF-8 form: remove it."
        )

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
            checked_tokens(tokens, self.size).astype(np.uint8).tobytes(), final
        )

    def describe(self) -> dict[str, Any]:
        """A JSON-able description; `vocabulary_from_description` reads it."""
        return {"type": "ByteVocabulary"}
