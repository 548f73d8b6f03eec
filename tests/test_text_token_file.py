"""A file of tokens is what was written, or it is refused: damage, forgeries, other files."""

import hashlib
import json
import os
import random
import struct

import numpy as np
import pytest
from prepared import WRITTEN

from jaxrnn import text
from jaxrnn.errors import (
    CorpusError,
    CorruptFileError,
    ModelFileError,
)
from jaxrnn.text import token_file

pytestmark = pytest.mark.usefixtures("small_pieces")


def read_all(path):
    corpus = text.read_tokens(path)
    return np.asarray(corpus.tokens).tobytes(), corpus[1:]


def test_no_damage_is_silent(tmp_path, written):
    path, other = tmp_path / "tokens", tmp_path / "other"
    text.prepare(written, path)
    (tmp_path / "more").write_text(WRITTEN.replace("quick", "kciuq"))
    text.prepare(tmp_path / "more", other)
    raw, foreign, good = path.read_bytes(), other.read_bytes(), read_all(path)
    assert len(foreign) == len(raw)
    rng = random.Random(0)
    noticed = 0
    for trial in range(1000):
        damaged = bytearray(raw)
        place = rng.randrange(len(raw))
        length = rng.randrange(1, 200)
        match trial % 5:
            case 0:
                damaged[place] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[place:]
            case 2:
                damaged[place : place + length] = bytes(len(damaged[place : place + length]))
            case 3:  # a piece of another file of the same kind and size
                damaged[place : place + length] = foreign[place : place + length]
            case 4:
                damaged += bytes(length)
        path.write_bytes(damaged)
        try:
            assert read_all(path) == good
        except (CorpusError, ModelFileError) as error:
            assert str(path) in str(error)
            noticed += 1
    assert noticed > 800
    path.write_bytes(foreign)  # as a whole: sound, and another text
    assert read_all(path)[1][2] != good[1][2]


def forged(tokens=b"\0\1", sizes=None, magic=b"jaxrnn tokens 1\n", raw=None, **header):
    """A file with right digests, whatever else is in it."""
    known = {
        "dtype": "uint8",
        "vocabulary": {"type": "CharVocabulary", "characters": "ab"},
        "description": "forged",
        "sha256": "0" * 64,
    }
    raw = json.dumps(known | header).encode() if raw is None else raw
    table = b"".join(
        hashlib.sha256(tokens[at : at + 64]).digest() for at in range(0, len(tokens), 64)
    )
    sizes = struct.pack("<QQ", len(tokens), len(raw)) if sizes is None else sizes
    digest = hashlib.sha256(sizes + table + raw).digest()
    return magic + digest + sizes + tokens + table + raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"jaxrnn tokens ",
        forged(magic=b"jaxrnn tokens 2\n"),
        forged(tokens=b""),
        forged(tokens=b"\0\2"),  # beyond the vocabulary
        forged(dtype="uint16", tokens=b"\0\0\0"),
        forged(dtype="object"),
        forged(dtype=["uint8"]),
        forged(vocabulary={"type": "CharVocabulary", "characters": "aa"}),
        forged(vocabulary={"type": "os.system", "characters": "ls"}),
        forged(description=7),
        forged(more=1),
        forged(raw=b"[" * 100_000),
        forged(raw=b"\xff"),
        forged(raw=b"1" * 5000),
        forged(sizes=struct.pack("<QQ", 2, 2**63)),
        forged(sizes=struct.pack("<QQ", 2**63, 10)),
        forged(sizes=struct.pack("<QQ", 2**64 - 1, 2**64 - 1)),
    ],
)
def test_forged_files(tmp_path, raw):
    path = tmp_path / "tokens"
    path.write_bytes(forged())
    assert read_all(path)[0] == b"\0\1"  # so that what follows is refused for what it is
    path.write_bytes(raw)
    with pytest.raises((CorpusError, CorruptFileError), match=str(path)):
        read_all(path)


def test_more_tokens_than_a_file_may_hold(written, monkeypatch):
    """Their digests, which are read when a file is opened, would be too many."""
    out = written.with_name("tokens")
    text.prepare(written, out)
    monkeypatch.setattr(token_file, "MAX_BYTES", 100)
    with pytest.raises(CorruptFileError, match="damaged"):
        text.read_tokens(out)
    with pytest.raises(CorpusError, match="more than 100 bytes: prepare a part"):
        text.prepare(written, written.with_name("more"))
    monkeypatch.setattr(token_file, "MAX_HEADER", 100)
    with pytest.raises(CorpusError, match="vocabulary of 42 characters is too large"):
        text.prepare(written, written.with_name("more"))
    assert len(list(written.parent.iterdir())) == 2


def test_places_where_there_are_no_tokens(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, sentence in {".": "directory", "pipe": "regular", "none": "does not exist"}.items():
        with pytest.raises(CorpusError, match=sentence):
            text.read_tokens(tmp_path / name)


def test_a_file_that_changes_while_it_is_read(written):
    out = written.with_name("tokens")
    prepared = text.prepare(written, out)
    raw = bytearray(out.read_bytes())
    with pytest.raises(TypeError, match="only a part from one instant"):
        prepared.tokens[3]
    np.asarray(prepared.tokens[:9])
    raw[64 + 100] ^= 1
    out.write_bytes(raw)
    np.asarray(prepared.tokens[:9])  # proven when it was read
    with pytest.raises(CorruptFileError, match="tokens from number 64 on"):
        np.asarray(prepared.tokens[90:110])
    out.unlink()
    with pytest.raises(CorpusError, match="does not exist"):
        np.asarray(prepared.tokens[300:])
