"""Where text comes from."""

import hashlib
import os
import platform
import sysconfig
from pathlib import Path
from typing import NamedTuple

from jaxrnn.errors import CorpusError
from jaxrnn.text.files import TOKENS, check_encoding, decoded, readable

MAX_BYTES = 2**30  # held in memory, and as int32 tokens four times as large

_LEFT_OUT = {
    *("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"),
    *("encodings", "pydoc_data"),  # long tables rather than code
}


class Corpus(NamedTuple):
    """A text and a line that says what it is."""

    text: str | bytes
    description: str

    @property
    def sha256(self) -> str:
        """Of its bytes, those of characters being their UTF-8: whatever file it was in."""
        return hashlib.sha256(as_utf_8(self.text)).hexdigest()


def as_utf_8(text: str | bytes) -> bytes:
    """The bytes of a text, by which one text is told from another."""
    # `surrogatepass` lets half a surrogate pair through: a Python string may hold one.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def standard_library_source(limit: int = 3_000_000) -> Corpus:
    """Source code of the running interpreter's standard library: real text without a download.

    The `*.py` files in the order of a hash of their names, so that the end of the text, which is
    held out, is like the rest; without tests, installed packages, and folders of tables. Files with
    a character outside ASCII are left out: a few rare ones would widen the vocabulary.

    Args:
      limit: number of characters to stop after.

    Raises:
      CorpusError: if the limit is not positive, or the interpreter came without source.

    Example:
      >>> corpus = standard_library_source(limit=1_000)
      >>> len(corpus.text)
      1000
    """
    if limit < 1:
        raise CorpusError(f"the limit is {limit} characters; give a positive number.")
    root = Path(sysconfig.get_path("stdlib"))
    pieces, length = [], 0
    for path in sorted(_python_files(root), key=lambda path: _hash(path.relative_to(root))):
        if length >= limit:
            break
        raw = path.read_bytes()
        if raw.isascii():
            pieces.append(raw.decode("ascii"))
            length += len(raw)
    text = "".join(pieces)[:limit]
    if not text:
        raise CorpusError(f"no Python source was found in {root}: give a text file (--text FILE).")
    return Corpus(
        text=text,
        description=f"standard library source of Python {platform.python_version()}, "
        f"{len(text):,} characters of {len(pieces)} files (limit {limit:,})",
    )


def _python_files(root):
    for folder, folders, files in os.walk(root):
        # Pruned in place, as `os.walk` asks: installed packages are never visited.
        folders[:] = set(folders) - _LEFT_OUT
        yield from (Path(folder, file) for file in files if file.endswith(".py"))


def _hash(path):
    return hashlib.sha256(path.as_posix().encode()).digest()


def read_bytes(path: str | Path) -> Corpus:
    """A file as it is, for the byte vocabulary.

    Args:
      path: the file.

    Raises:
      CorpusError: if it is missing, a directory, no regular file, unreadable, empty or above 1 GiB.

    Example:
      >>> read_bytes("no such file")
      Traceback (most recent call last):
      jaxrnn.errors.CorpusError: 'no such file' does not exist.
    """
    with readable(path) as size:
        if size > MAX_BYTES:
            raise CorpusError(
                f"'{path}' has {size:,} bytes, more than the {MAX_BYTES:,} that are read into "
                "memory: write its tokens to a file with `prepare`, and give that (--tokens)."
            )
        raw = Path(path).read_bytes()
    if not raw:
        raise CorpusError(f"'{path}' is empty.")
    if raw.startswith(TOKENS):
        raise CorpusError(f"'{path}' is no text, but a file of tokens: give it as --tokens.")
    return Corpus(text=raw, description=f"'{path}', {len(raw):,} bytes")


def read_text(path: str | Path, encoding: str = "utf-8") -> Corpus:
    """A file as characters.

    A byte-order mark at the beginning is dropped, because it marks the encoding and is no text. All
    else is kept as it is, CRLF line ends and NUL included.

    Args:
      path: the file.
      encoding: by any name that Python knows.

    Raises:
      CorpusError: as `read_bytes` does, and if the file has another encoding, with the offset of
        the byte that shows it.
    """
    check_encoding(encoding)
    text = "".join(decoded([read_bytes(path).text], encoding, path))
    return Corpus(text=text, description=f"'{path}', {len(text):,} characters")
