"""Characters as tokens."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxrnn.errors import VocabularyError
from jaxrnn.text.tokens import UNKNOWN, Decoder, checked_tokens, refuse


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
        return cls.from_pieces([text])

    @classmethod
    def from_pieces(cls, pieces: Iterable[str]) -> "CharVocabulary":
        """The characters of a text that comes in pieces."""
        characters: set[str] = set()
        for piece in pieces:
            characters.update(set(piece))
        return cls("".join(sorted(characters)))

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

    def lookup(self, text: str) -> np.ndarray:
        """Tokens [length] of a text, int32, with −1 for every unknown character."""
        known, wanted = _code_points(self.characters), _code_points(text)
        order = np.argsort(known)
        places = np.searchsorted(known[order], wanted)
        # What lies beyond the last known character is mapped to it here, and found unequal below.
        tokens = order[np.minimum(places, self.size - 1)]
        return np.where(known[tokens] == wanted, tokens, UNKNOWN).astype(np.int32)

    def encode(self, text: str) -> np.ndarray:
        """Tokens [length] of a text, int32.

        Raises:
          VocabularyError: naming the first unknown character and its position.
        """
        return refuse(self, text)

    def explain_unknown(self, text: str) -> str:
        """The sentence about the first unknown character of a text."""
        position = int(np.argmin(self.lookup(text)))
        character = text[position]
        return (
            f"the character {character!r} (U+{ord(character):04X}) at position {position} is not "
            f"among the {self.size} characters of the vocabulary: leave it out, or have it skipped "
            "or replaced (--unknown); a model trained with --bytes knows every character."
        )

    def decode(self, tokens) -> str:
        """The text of tokens [length].

        Raises:
          VocabularyError: if a token lies outside the vocabulary.
        """
        tokens = checked_tokens(tokens, self.size)
        code_points = _code_points(self.characters)[tokens]
        return code_points.tobytes().decode("utf-32-le", errors="surrogatepass")

    def decoder(self) -> Decoder:
        """A function `(tokens, final=False) -> str` for text that arrives in pieces."""
        return lambda tokens, final=False: self.decode(tokens)

    def describe(self) -> dict[str, Any]:
        """A JSON-able description; `vocabulary_from_description` reads it."""
        return {"type": "CharVocabulary", "characters": self.characters}


def _code_points(text):
    # `surrogatepass` lets half a surrogate pair through: a Python string may hold one.
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)
