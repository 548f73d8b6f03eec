"""Files of tokens: a text of any size, encoded once, and read only where one looks.

    16 bytes   the name of the format
    32 bytes   SHA-256 of all but the tokens and itself
     8 bytes   how many bytes of tokens there are
     8 bytes   length of the header
               tokens: unsigned, little-endian, in blocks of 64 KiB
               SHA-256 of each block, 32 bytes each
               header: JSON

Opening a file proves all but its tokens. A block is read as a whole and proven each time it is
read, so that no token is used that was not written; and it is read rather than mapped into memory,
where a file that was cut short would end the process (SIGBUS). Nothing in a file is ever executed.
"""

import functools
import hashlib
import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxrnn.errors import CorpusError, CorruptFileError, ModelFileError
from jaxrnn.text.encoded import EncodedCorpus
from jaxrnn.text.files import TOKENS, readable
from jaxrnn.text.unread import Unread
from jaxrnn.text.vocabulary import Vocabulary, vocabulary_from_description

_MAGIC = TOKENS + b"1\n"
BLOCK = 2**16  # bytes
KEPT = 1024  # blocks in memory, 64 MiB: a training reads at as many places as it has streams
MAX_HEADER = 2**26
MAX_BYTES = 2**38  # of tokens; the digests of so many blocks are 128 MiB
_DIGEST = hashlib.sha256().digest_size
_SIZES = struct.Struct("<QQ")
_HEAD = len(_MAGIC) + _DIGEST + _SIZES.size
_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("uint8", "uint16", "uint32")}


def narrowest(size: int) -> np.dtype:
    """The narrowest type for the tokens of a vocabulary of some size.

    Example:
      >>> [narrowest(size).itemsize for size in (256, 257, 65536, 65537)]
      [1, 2, 2, 4]
    """
    return next(dtype for dtype in _DTYPES.values() if size - 1 <= np.iinfo(dtype).max)


def write_tokens(
    file: BinaryIO,
    tokens: Iterable[np.ndarray],
    vocabulary: Vocabulary,
    about: Callable[[], dict[str, str]],
) -> None:
    """Write a file of tokens.

    Args:
      file: open for writing, and empty.
      tokens: in pieces of any length.
      vocabulary: what they mean.
      about: called when all tokens are written; `description` and `sha256` of the text.

    Raises:
      CorpusError: if the vocabulary or the text is too large.
    """
    dtype = narrowest(vocabulary.size)
    described = vocabulary.describe()
    if len(json.dumps(described)) > MAX_HEADER // 2:
        raise CorpusError(
            f"a vocabulary of {vocabulary.size:,} {vocabulary.unit}s is too large for a file of "
            "tokens: give a lower limit (--words)."
        )
    file.seek(_HEAD)
    digests, size = bytearray(), 0
    for block in _blocks(piece.astype(dtype).tobytes() for piece in tokens):
        file.write(block)
        digests += hashlib.sha256(block).digest()
        size += len(block)
        if size > MAX_BYTES:
            raise CorpusError(f"the tokens take more than {MAX_BYTES:,} bytes: prepare a part.")
    header = json.dumps({"dtype": dtype.name, "vocabulary": described} | about()).encode()
    file.write(digests + header)
    sizes = _SIZES.pack(size, len(header))
    file.seek(0)
    file.write(_MAGIC + hashlib.sha256(sizes + digests + header).digest() + sizes)


def _blocks(pieces):
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // BLOCK * BLOCK
        for begin in range(0, whole, BLOCK):
            yield rest[begin : begin + BLOCK]
        rest = rest[whole:]
    if rest:
        yield rest


def read_tokens(path: str | Path) -> EncodedCorpus:
    """What a file of tokens holds; the tokens themselves stay in the file until they are needed.

    Args:
      path: a file that `prepare` wrote.

    Raises:
      CorpusError: if it cannot be read, or is no such file.
      CorruptFileError: if it was damaged after it was written; also later, from whoever reads
        tokens that are not as they were written.
    """
    return TokenFile(path).corpus


class TokenFile:
    """A file of tokens, open for reading; `read_tokens` is all that most need of it.

    Args:
      path: a file that `prepare` wrote.

    Attributes:
      corpus: what it holds.

    Raises:
      CorpusError, CorruptFileError: as `read_tokens` does.
    """

    def __init__(self, path: str | Path):
        """Read all but the tokens, and prove it."""
        self._path = Path(path)
        with readable(path) as size, self._path.open("rb") as file:
            self._bytes, self._digests, header = _read_proven(path, file, size)
        self._dtype, *about = _understood(path, header)
        count, rest = divmod(self._bytes, self._dtype.itemsize)
        if rest or not count:
            raise _no_file_of_tokens(path)
        self.corpus = EncodedCorpus(Unread(self._read, 0, count), *about)
        self._kept_block = functools.lru_cache(KEPT)(self._block)

    def check(self, tell: Callable[[float], None] = lambda share: None) -> None:
        """Read all of it once, to prove it.

        Args:
          tell: called with the share that is proven.

        Raises:
          CorruptFileError: if a token is not what was written.
        """
        for number, begin in enumerate(range(0, self._bytes, BLOCK)):
            self._block(number)
            tell(min(1.0, (begin + BLOCK) / self._bytes))

    def _read(self, begin, end):
        per_block = BLOCK // self._dtype.itemsize
        found = []
        for number in range(begin // per_block, -(-end // per_block)):
            first = number * per_block
            found.append(self._kept_block(number)[max(begin - first, 0) : end - first])
        if len(found) == 1:  # nearly always
            return found[0]
        return np.concatenate(found) if found else np.empty(0, self._dtype)

    def _block(self, number):
        begin = number * BLOCK
        length = min(BLOCK, self._bytes - begin)
        # Opened for every block: nothing need be closed, and few are read.
        with readable(self._path), self._path.open("rb") as file:
            file.seek(_HEAD + begin)
            raw = file.read(length)
        if hashlib.sha256(raw).digest() != self._digests[number * _DIGEST :][:_DIGEST]:
            raise CorruptFileError(
                f"'{self._path}' was damaged or replaced after it was prepared: its tokens from "
                f"number {begin // self._dtype.itemsize:,} on are not those that were written."
            )
        tokens = np.frombuffer(raw, self._dtype)
        # In a file that was forged as a whole; JAX would take its last row for what is beyond it.
        if tokens.max() >= self.corpus.vocabulary.size:
            raise _no_file_of_tokens(self._path)
        return tokens


def _read_proven(path, file, size) -> tuple[int, bytes, bytes]:
    """How many bytes of tokens there are, the digests of their blocks and the header."""
    magic, digest, sizes = (file.read(length) for length in (len(_MAGIC), _DIGEST, _SIZES.size))
    if magic != _MAGIC:
        if magic.startswith(TOKENS):
            raise CorpusError(
                f"'{path}' is a file of tokens of another version, or damaged: prepare it anew."
            )
        raise _no_file_of_tokens(path)
    if len(sizes) == _SIZES.size:
        length, header = _SIZES.unpack(sizes)
        table = -(-length // BLOCK) * _DIGEST
        # Compared before anything is read: a forged size would be allocated.
        if length <= MAX_BYTES and header <= MAX_HEADER and size == _HEAD + length + table + header:
            file.seek(_HEAD + length)
            rest = file.read(table + header)
            if hashlib.sha256(sizes + rest).digest() == digest:
                return length, rest[:table], rest[table:]
    raise CorruptFileError(
        f"'{path}' was cut short or damaged after it was written: prepare it anew."
    )


def _understood(path, header) -> tuple[np.dtype, Vocabulary, str, str]:
    try:
        known: Any = json.loads(header)
        match known:
            case {
                "dtype": str(dtype),
                "vocabulary": vocabulary,
                "description": str(description),
                "sha256": str(sha256),
                **rest,
            } if dtype in _DTYPES and not rest:
                vocabulary = vocabulary_from_description(vocabulary)
                return _DTYPES[dtype], vocabulary, description, sha256
    except (ValueError, RecursionError, ModelFileError) as error:
        raise _no_file_of_tokens(path) from error
    raise _no_file_of_tokens(path)


def _no_file_of_tokens(path):
    return CorpusError(f"'{path}' is no file of tokens: give one that `prepare` wrote.")
