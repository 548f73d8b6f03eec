"""Writing the tokens of a text to a file, in little memory however large the text is."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxrnn.atomic_file import check_writable, remove_unfinished, replacing
from jaxrnn.errors import CorpusError, InputError, VocabularyError
from jaxrnn.text.corpus import as_utf_8
from jaxrnn.text.encoded import EncodedCorpus
from jaxrnn.text.files import byte_pieces, check_encoding, decoded
from jaxrnn.text.token_file import TokenFile, read_tokens, write_tokens
from jaxrnn.text.vocabulary import WordVocabulary, check_choice, choose_vocabulary
from jaxrnn.text.word_vocabulary import whole_words

WHAT = "the tokens"


def prepare(
    path: str | Path,
    out: str | Path,
    as_bytes: bool = False,
    words: int | None = None,
    encoding: str = "utf-8",
    tell: Callable[[float], None] = lambda share: None,
) -> EncodedCorpus:
    """Write the tokens of a text to a file: read once for its vocabulary, once more to encode it.

    The file is the same as from a text that is read whole, and so is what is trained on it. It
    appears under its name when it is complete, on the disk and proven; what a killed preparation
    left behind is removed by the next.

    Args:
      path: the text.
      out: where to; an existing file is replaced.
      as_bytes: whether bytes are asked for instead of characters.
      words: how many words instead, or None; counting them may take temporary files.
      encoding: of the characters, by any name that Python knows.
      tell: called with the share of the work that is done. What it raises ends the preparation, and
        nothing is left behind.

    Returns:
      What the file holds; the tokens stay there until they are needed.

    Raises:
      CorpusError: if the text cannot be read, is empty, or changes while it is read.
      VocabularyError: if there is no room for a word.
      ModelFileError: if the file cannot be written.
      InputError: if the text would be overwritten.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     text = Path(folder) / "text"
      ...     length = text.write_text("banana " * 9)
      ...     prepared = prepare(text, Path(folder) / "tokens")
      ...     np.asarray(prepared.tokens[7:13]), prepared.vocabulary
      (array([2, 1, 3, 1, 3, 1], dtype=uint8), CharVocabulary(characters=' abn'))
    """
    path, out = Path(path), Path(out)
    check_choice(as_bytes, words)
    check_encoding(encoding)
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"'{out}' is the text itself and would be overwritten: give another name.")
    check_writable(out, WHAT)
    remove_unfinished(out)

    readings = 1 if as_bytes else 2
    first, last = (
        _Reading(path, as_bytes, encoding, lambda share, of=of: tell((of + share) / readings))
        for of in (0, readings - 1)
    )
    vocabulary = choose_vocabulary(first.pieces(), as_bytes, words)

    def about():
        if not as_bytes and first.sha256 != last.sha256:
            raise _changed(path)
        return {"description": last.description, "sha256": last.sha256}

    with replacing(out, lambda trial: TokenFile(trial).check(), WHAT) as file:
        write_tokens(file, _encoded(vocabulary, last), vocabulary, about)
    return read_tokens(out)


class _Reading:
    """One reading of a text, which counts and digests what it hands on."""

    def __init__(self, path, as_bytes, encoding, tell):
        self.path, self._as_bytes, self._encoding, self._tell = path, as_bytes, encoding, tell
        self._length, self._digest = 0, hashlib.sha256()

    def pieces(self) -> Iterator[str | bytes]:
        """The text in pieces."""
        raw = self._told(byte_pieces(self.path))
        for piece in raw if self._as_bytes else decoded(raw, self._encoding, self.path):
            self._length += len(piece)
            self._digest.update(as_utf_8(piece))
            yield piece

    def _told(self, pieces):
        done, size = 0, self.path.stat().st_size if self.path.exists() else 1
        for piece in pieces:
            yield piece
            done += len(piece)
            self._tell(min(1.0, done / size))

    @property
    def sha256(self) -> str:
        """Of what was handed on."""
        return self._digest.hexdigest()

    @property
    def description(self) -> str:
        """The same as of a text that is read whole."""
        unit = "bytes" if self._as_bytes else "characters"
        return f"'{self.path}', {self._length:,} {unit}"


def _encoded(vocabulary, reading):
    pieces = reading.pieces()
    if isinstance(vocabulary, WordVocabulary):
        pieces = whole_words(pieces)
    for piece in pieces:
        try:
            yield vocabulary.encode(piece)
        except VocabularyError as error:  # though it knew all of the text a moment ago
            raise _changed(reading.path) from error


def _changed(path):
    return CorpusError(f"'{path}' was changed while it was read: prepare it again.")
