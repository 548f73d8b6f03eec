"""Words as tokens."""

import collections
import contextlib
import dataclasses
import heapq
import itertools
import json
import operator
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jaxrnn.errors import VocabularyError
from jaxrnn.text.tokens import UNKNOWN, Decoder, checked_tokens

# Every character is a letter of a word, a blank or a sign, so that the pieces join to the text. One
# space belongs to what follows it: half as many tokens as with every space by itself.
_PIECE = re.compile(r" ?\w+| ?[^\w\s]|\s")
_LETTER = re.compile(r"\w")
LONGEST = 10**6  # letters
COUNTED = 2**20  # different words held in memory while they are counted
MARK = "\ufffd"  # how an unknown word is written


def whole_words(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in other pieces, of which none ends within a word.

    Args:
      pieces: of a text, cut anywhere.

    Raises:
      VocabularyError: if a word has more than a million letters, which must be held in memory.

    Example:
      >>> list(whole_words(["to b", "e or", " not"]))
      ['to', ' be', ' or', ' not']
    """
    rest = ""
    for piece in pieces:
        text = rest + piece
        end = len(text)
        # What the text ends with may go on in the next piece: a word, and a space before one.
        while end and _LETTER.match(text[end - 1]):
            end -= 1
        if end and text[end - 1] == " ":
            end -= 1
        rest = text[end:]
        if len(rest) > LONGEST:
            raise VocabularyError(
                f"a word of more than {LONGEST:,} letters begins with {rest[:20]!r}: this is no "
                "text in words; read it as characters or bytes."
            )
        if end:
            yield text[:end]
    if rest:
        yield rest


@dataclasses.dataclass(frozen=True)
class WordVocabulary:
    r"""Words and signs, each with the space before it if there is one; other blanks by themselves.

    A text is cut by the regular expression ` ?\w+| ?[^\w\s]|\s`, and its pieces join to the text
    again: what is known survives exactly. Token 0 stands for every unknown word and is written
    as U+FFFD; token n is the n-th word.

    Args:
      words: every known piece once.

    Raises:
      VocabularyError: if there is none, one occurs twice, or one is not a piece of the kind above.

    Example:
      >>> vocabulary = WordVocabulary.from_text("to be, or not to be", limit=4)
      >>> vocabulary.words
      (' be', ' not', ' or')
      >>> vocabulary.encode("to be or not").tolist()
      [0, 1, 3, 2]
      >>> vocabulary.decode([0, 1, 3, 2])
      '� be or not'
    """

    words: tuple[str, ...]

    def __post_init__(self):
        """Refuse a vocabulary that cannot tell its tokens apart, or a word that no text has."""
        for word in self.words:
            if not isinstance(word, str) or not _PIECE.fullmatch(word) or word.endswith(MARK):
                raise VocabularyError(
                    f"{word!r:.80} is not a word: give letters or one sign, with at most one space "
                    "in front, or one blank."
                )
        if not self.words or len(set(self.words)) != len(self.words):
            raise VocabularyError("a vocabulary needs at least one word, and each only once.")

    @classmethod
    def from_text(cls, text: str, limit: int | None = None) -> "WordVocabulary":
        """The words of a text, the most frequent first, equally frequent ones in their own order.

        Args:
          text: where from.
          limit: number of tokens at most, the unknown word among them; None for all words.

        Raises:
          VocabularyError: if the limit leaves no room for a word, or the text has none.
        """
        return cls.from_pieces([text], limit)

    @classmethod
    def from_pieces(cls, pieces: Iterable[str], limit: int | None = None) -> "WordVocabulary":
        """The words of a text that comes in pieces.

        Args:
          pieces: of the text, cut anywhere.
          limit: as `from_text` has it.

        Raises:
          VocabularyError: as `from_text` does.
        """
        cls.check_limit(limit)
        with contextlib.ExitStack() as stack:
            counts = _counts(whole_words(pieces), stack)
            by_frequency = ((-n, word) for word, n in counts if word not in (MARK, " " + MARK))
            if limit is None:
                chosen = sorted(by_frequency)
            else:
                chosen = heapq.nsmallest(limit - 1, by_frequency)
        return cls(tuple(word for _, word in chosen))

    @staticmethod
    def check_limit(limit: int | None) -> None:
        """Raise VocabularyError if a limit leaves no room for a word."""
        if limit is not None and limit < 2:
            raise VocabularyError(f"the limit is {limit} words; give at least 2.")

    @property
    def size(self) -> int:
        """Number of tokens."""
        return 1 + len(self.words)

    @property
    def unit(self) -> str:
        """What a token is, for messages."""
        return "word"

    @property
    def beginning(self) -> str:
        """What to begin a text with if nobody says: a line end, if there is one."""
        return "\n" if "\n" in self.words else self.words[0]

    def lookup(self, text: str) -> np.ndarray:
        """Tokens [length] of a text, int32, with −1 for every unknown word."""
        known = {word: token for token, word in enumerate(self.words, start=1)} | {MARK: 0}
        pieces = _PIECE.findall(text)
        return np.fromiter((known.get(piece, UNKNOWN) for piece in pieces), np.int32, len(pieces))

    def encode(self, text: str) -> np.ndarray:
        """Tokens [length] of a text, int32; 0 for every unknown word."""
        return np.maximum(self.lookup(text), 0)

    def explain_unknown(self, text: str) -> str:
        """The sentence about the first unknown word of a text."""
        word = _PIECE.findall(text)[int(np.argmin(self.lookup(text)))]
        return (
            f"the word {word!r:.80} is not among the {len(self.words):,} words of the vocabulary "
            "(a space before a word belongs to it): leave it out, or have it skipped or replaced "
            "(--unknown)."
        )

    def decode(self, tokens) -> str:
        """The text of tokens [length].

        Raises:
          VocabularyError: if a token lies outside the vocabulary.
        """
        known = checked_tokens(tokens, self.size)
        return "".join(self.words[token - 1] if token else MARK for token in known)

    def decoder(self) -> Decoder:
        """A function `(tokens, final=False) -> str` for text that arrives in pieces."""
        return lambda tokens, final=False: self.decode(tokens)

    def describe(self) -> dict[str, Any]:
        """A JSON-able description; `vocabulary_from_description` reads it."""
        return {"type": "WordVocabulary", "words": list(self.words)}


def _counts(pieces, stack):
    """Words and how often each occurs, in the order of the words.

    Where there are more different ones than are held in memory, sorted runs go to temporary files.
    """
    counts: collections.Counter[str] = collections.Counter()
    runs = []
    for piece in pieces:
        counts.update(_PIECE.findall(piece))
        if len(counts) > COUNTED:
            runs.append(_on_disk(sorted(counts.items()), stack))
            counts.clear()
    runs.append(iter(sorted(counts.items())))
    for word, found in itertools.groupby(heapq.merge(*runs), key=operator.itemgetter(0)):
        yield word, sum(count for _, count in found)


def _on_disk(run, stack):
    file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))
    file.writelines(json.dumps(entry) + "\n" for entry in run)
    file.seek(0)
    return (tuple(json.loads(line)) for line in file)
