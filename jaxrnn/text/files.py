"""Files as bytes and as characters, whole or piece by piece, with one sentence for what fails."""

import codecs
import contextlib
import errno
import itertools
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxrnn.errors import CorpusError

PIECE = 2**18  # bytes; larger ones do not go faster, but leave the heap in pieces
TOKENS = b"jaxrnn tokens "  # how a file of tokens begins, and no text
_FOR_NAMES = ("idna", "punycode", "undefined")  # Python's own, but for no text


def byte_pieces(path: str | Path) -> Iterator[bytes]:
    """A file piece by piece.

    Args:
      path: the file.

    Raises:
      CorpusError: if it is missing, a directory, no regular file, unreadable or empty.

    Example:
      >>> next(byte_pieces("no such file"))
      Traceback (most recent call last):
      jaxrnn.errors.CorpusError: 'no such file' does not exist.
    """
    with readable(path) as size:
        if not size:
            raise CorpusError(f"'{path}' is empty.")
        with Path(path).open("rb") as file:
            while found := file.read(PIECE):
                yield found


def decoded(pieces: Iterable[bytes], encoding: str, path: str | Path) -> Iterator[str]:
    r"""The characters of bytes that come in pieces, which may end within a character.

    A byte-order mark at the beginning is dropped, because it marks the encoding and is no text.

    Args:
      pieces: the bytes.
      encoding: what they are, by any name that Python knows.
      path: where they are from, for messages.

    Raises:
      CorpusError: if they are something else, with the offset of the byte; if there is no
        character; or if Python does not know the encoding.

    Example:
      >>> "".join(decoded([b"a\xce", b"\xb2"], "utf-8", "file"))
      'aβ'
    """
    decoder = _decoder(encoding)
    given, first, empty = 0, True, True
    for piece in itertools.chain(pieces, [b""]):
        given += len(piece)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            raise CorpusError(_not_encoded(path, encoding, error, given)) from error
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if text:
            empty = False
            yield text
    if empty:
        raise CorpusError(f"'{path}' holds nothing but a byte-order mark.")


def check_encoding(encoding: str) -> None:
    """Raise CorpusError unless Python knows an encoding of texts by that name."""
    _decoder(encoding)


@contextlib.contextmanager
def readable(path: str | Path) -> Iterator[int]:
    """See that a file can be read, and give one sentence to what goes wrong while it is.

    Args:
      path: the file.

    Returns:
      A context manager for its size in bytes.

    Raises:
      CorpusError: if it is missing, a directory, no regular file, or cannot be read.
    """
    path = Path(path)
    try:
        # Asked before opening: opening a named pipe would wait for a writer.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CorpusError(f"'{path}' is a directory; give a file.")
        if not stat.S_ISREG(status.st_mode):
            raise CorpusError(f"'{path}' is not a regular file.")
        yield status.st_size
    except FileNotFoundError as error:
        raise CorpusError(f"'{path}' does not exist.") from error
    except OSError as error:
        reason = errno.errorcode.get(error.errno, "") if error.errno else ""
        raise CorpusError(f"'{path}' cannot be read: {error.strerror or reason}.") from error
    except ValueError as error:  # a NUL byte in the path
        if "\0" not in str(path):
            raise
        raise CorpusError(f"{str(path)!r} cannot be the name of a file.") from error


def _decoder(encoding):
    try:
        # By `bytes.decode`, because `codecs` also knows what is no encoding of text, such as zip.
        with contextlib.suppress(UnicodeError):
            b" ".decode(encoding)
        known = codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise CorpusError(
            f"{encoding!r:.80} is no encoding of text that Python knows; give one such as utf-8, "
            "utf-16, latin-1 or gb18030."
        ) from error
    if known.name in _FOR_NAMES or known.incrementaldecoder is None:
        raise CorpusError(f"{encoding!r:.80} is an encoding of names; a text has another.")
    return known.incrementaldecoder(errors="strict")


def _not_encoded(path, encoding, error, given):
    name = encoding.upper()
    advice = (
        "name the encoding (--encoding) or convert the file; a model trained with --bytes reads "
        "any file."
    )
    if not isinstance(error, UnicodeDecodeError):
        return f"'{path}' is not {name} ({error}): {advice}"
    # The decoder was given some bytes before, and may have kept them.
    offset = given - len(error.object) + error.start
    byte = error.object[error.start]
    return f"'{path}' is not {name}: byte 0x{byte:02x} at offset {offset:,}; {advice}"
