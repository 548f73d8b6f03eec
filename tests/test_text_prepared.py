"""A text that is prepared in a file is the text that is read whole: tokens, windows, training."""

import dataclasses
import encodings.aliases
import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import SOURCE, WRITTEN, in_memory

from jaxrnn import text
from jaxrnn.errors import (
    CorpusError,
    InputError,
    ModelFileError,
    VocabularyError,
)
from jaxrnn.text import files, token_file, word_vocabulary
from jaxrnn.text.files import decoded
from jaxrnn.text.word_vocabulary import whole_words


@pytest.mark.parametrize("choice", [{}, {"as_bytes": True}, {"words": 9}])
def test_the_tokens_are_those_of_the_text_read_whole(written, choice):
    expected = in_memory(written, **choice)
    shares = []
    out = written.with_name("tokens")
    prepared = text.prepare(written, out, **choice, tell=shares.append)
    np.testing.assert_array_equal(prepared.tokens, expected.tokens)
    assert prepared[1:] == expected[1:]  # vocabulary, description, digest
    assert shares == sorted(shares) and shares[-1] == 1
    assert text.read_tokens(out)[1:] == expected[1:]
    text.TokenFile(out).check()
    assert sorted(path.name for path in written.parent.iterdir()) == ["text", "tokens"]


@pytest.mark.parametrize(
    ("characters", "dtype"), [(256, np.uint8), (257, np.uint16), (65537, np.uint32)]
)
def test_tokens_are_as_narrow_as_the_vocabulary_allows(tmp_path, monkeypatch, characters, dtype):
    monkeypatch.setattr(files, "PIECE", 2**16)
    path = tmp_path / "text"
    path.write_text("".join(map(chr, range(0x10000, 0x10000 + characters))), encoding="utf-8")
    prepared = text.prepare(path, tmp_path / "tokens")
    assert np.asarray(prepared.tokens).dtype == dtype
    np.testing.assert_array_equal(prepared.tokens, np.arange(characters))


@given(st.text("ab_ \n.,é😀\ufffd", max_size=40), st.lists(st.integers(0, 40), max_size=8))
@settings(deadline=None)
def test_words_are_the_same_however_a_text_is_cut(written, cuts):
    cuts = [0, *sorted(cuts), len(written)]
    pieces = [written[begin:end] for begin, end in zip(cuts, cuts[1:], strict=False)]
    vocabulary = text.WordVocabulary(("a", " b", "\n", ",", "é", " "))
    found = [vocabulary.lookup(piece) for piece in whole_words(pieces)]
    assert np.concatenate([[], *found]).tolist() == vocabulary.lookup(written).tolist()


@pytest.mark.parametrize("limit", [5, None])
def test_words_are_counted_on_the_disk_where_memory_ends(monkeypatch, limit):
    written = WRITTEN + "a\ud800b Fuß Fuß fox, \ufffd"
    expected = text.WordVocabulary.from_text(written, limit)
    monkeypatch.setattr(word_vocabulary, "COUNTED", 4)
    pieces = (written[begin : begin + 10] for begin in range(0, len(written), 10))
    assert text.WordVocabulary.from_pieces(pieces, limit) == expected


def test_a_word_that_never_ends():
    with pytest.raises(VocabularyError, match="more than 1,000,000 letters begins with ' aaa"):
        list(whole_words([" " + "a" * 900_000, "a" * 900_000]))


def test_every_encoding_that_python_knows(tmp_path):
    tried = 0
    for encoding in sorted({*encodings.aliases.aliases.values(), "utf-8-sig", "utf-7"}):
        try:
            known = "".join(c for c in WRITTEN[:70] if c.encode(encoding, "ignore"))
            raw = known.encode(encoding)
        except (LookupError, UnicodeError):  # of bytes, of another system
            with pytest.raises(CorpusError, match="is no encoding of text"):
                text.prepare(tmp_path / "text", tmp_path / "tokens", encoding=encoding)
            continue
        expected = raw.decode(encoding).removeprefix("\ufeff")
        for size in (1, 3):
            pieces = (raw[begin : begin + size] for begin in range(0, len(raw), size))
            assert "".join(decoded(pieces, encoding, "text")) == expected, encoding
        tried += 1
    assert tried > 80


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "gb18030"])
def test_a_text_in_another_encoding(tmp_path, encoding):
    path = tmp_path / "text"
    path.write_bytes(("\ufeff" + WRITTEN).encode(encoding))
    assert text.read_text(path, encoding).text == WRITTEN
    expected = in_memory(path, encoding=encoding)
    prepared = text.prepare(path, tmp_path / "tokens", encoding=encoding)
    np.testing.assert_array_equal(prepared.tokens, expected.tokens)
    assert prepared[1:] == expected[1:]
    assert prepared.sha256 == hashlib.sha256(WRITTEN.encode()).hexdigest()


@pytest.mark.parametrize(
    ("raw", "encoding", "sentence"),
    [
        (b"0123456789caf\xe9 au lait", "utf-8", "is not UTF-8: byte 0xe9 at offset 13; name"),
        ("0123456789é".encode()[:-1], "utf-8", "byte 0xc3 at offset 10;"),
        ("01234567€".encode()[:-1], "utf-8", "byte 0xe2 at offset 8;"),
        (b"0123456789\xff", "ascii", "is not ASCII: byte 0xff at offset 10;"),
        ("0123é".encode("utf-16-le") + b"x", "utf-16-le", "byte 0x78 at offset 10;"),
        ("0123456789日".encode("shift_jis")[:-1], "shift_jis", "at offset 10;"),
        ("\ufeff".encode(), "utf-8", "nothing but a byte-order mark"),
        (b"", "utf-8", "is empty"),
        (b"text", "klingon", "'klingon' is no encoding of text that Python knows"),
        (b"text", "hex", "'hex' is no encoding of text"),
        (b"text", "a\0b", "is no encoding of text"),
        (b"text", "punycode", "is an encoding of names"),
    ],
)
def test_what_cannot_be_decoded_is_said_alike_by_both_ways(tmp_path, raw, encoding, sentence):
    path = tmp_path / "text"
    path.write_bytes(raw)
    for size in (1, 4, 7):
        files.PIECE = size
        with pytest.raises(CorpusError) as piecewise:
            text.prepare(path, tmp_path / "tokens", encoding=encoding)
        with pytest.raises(CorpusError) as whole:
            text.read_text(path, encoding)
        assert str(piecewise.value) == str(whole.value) and sentence in str(whole.value)
    assert list(tmp_path.iterdir()) == [path]


SPLITS = [
    {"held_out": 0.2},
    {"split": "90/10"},
    {"split": "80/10/10"},
    {"split": "columns", "columns": (4, 15)},
]


@pytest.mark.parametrize("choice", SPLITS)
def test_parts_and_windows_are_those_of_the_array(written, choice):
    source = dataclasses.replace(SOURCE, **choice)
    prepared = text.prepare(written, written.with_name("tokens"))
    parts = source.parts(prepared.tokens)
    expected = source.parts(in_memory(written).tokens)
    assert parts.name == expected.name
    for part, array in zip(parts[:3], expected[:3], strict=True):
        assert isinstance(part, text.Unread) and not isinstance(array, text.Unread)
        assert part.shape == array.shape and (part.ndim, part.size) == (array.ndim, array.size)
        np.testing.assert_array_equal(part, array)
        np.testing.assert_array_equal(part[3:-2][1:], array[3:-2][1:])
        if array.size:
            assert text.share_of(part, 0, piece=9) == (array == 0).mean()
    windows, of_array = (text.training_windows(each.train, 4, 15) for each in (parts, expected))
    assert len(windows) == len(of_array)
    for window, other in zip(windows, of_array, strict=True):
        assert window.inputs.dtype == window.targets.dtype == np.int32
        np.testing.assert_array_equal(window, other)


def test_only_what_is_looked_at_is_read(written, monkeypatch):
    text.prepare(written, written.with_name("tokens"))
    read = []
    block = token_file.TokenFile._block
    monkeypatch.setattr(
        token_file.TokenFile, "_block", lambda self, n: read.append(n) or block(self, n)
    )
    tokens = text.read_tokens(written.with_name("tokens")).tokens
    windows = text.training_windows(SOURCE.parts(tokens).train, 2, 10)
    assert not read
    for place in (0, 1, 0):
        windows[place]
    assert read == [0, 3, 4]  # what holds tokens 0 to 20 and 250 to 270, 64 in a block


MODEL = text.ModelConfig(layers=1, hidden_size=5, embedding_size=3)
CONFIG = text.TrainConfig(steps=9, batch=4, window=15, report_every=9, learning_rate=1e-2)


@pytest.mark.parametrize("choice", [SPLITS[0], SPLITS[3]])
def test_training_makes_the_same_model_of_both(written, choice):
    source = dataclasses.replace(SOURCE, **choice)
    outcomes = []
    for corpus in (in_memory(written), text.prepare(written, written.with_name("tokens"))):
        network, parts = text.build_network(MODEL, corpus.vocabulary.size), source.parts(corpus[0])
        (report,) = text.fit(network, CONFIG, *parts[:2])
        params = report.params
        adapted = text.evaluate_dynamically(network, params, parts.validation, text.descent(0.1))
        outcomes.append(
            (
                [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(report.point)],
                report.loss,
                text.evaluate(network, params, parts.validation, window=16),
                adapted,
                text.training_record(network, corpus.vocabulary, CONFIG, corpus, parts),
                source.origin(corpus, parts),
            )
        )
    assert outcomes[0] == outcomes[1]


def test_a_model_reads_tokens_of_its_own_vocabulary_only(written):
    out = written.with_name("tokens")
    text.prepare(written, out)
    source = dataclasses.replace(SOURCE, tokens=out)
    known = in_memory(written).vocabulary
    np.testing.assert_array_equal(
        source.encoded_by(known, text.refuse).tokens, in_memory(written).tokens
    )
    with pytest.raises(CorpusError, match="another vocabulary, of 42 characters, than the"):
        source.encoded_by(text.CharVocabulary("ab"), text.refuse)
    with pytest.raises(InputError, match="has its vocabulary already"):
        source.encoded(words=5)
    with pytest.raises(InputError, match="--text or --tokens, not both"):
        dataclasses.replace(source, text=written).encoded()
    with pytest.raises(CorpusError, match="is no text, but a file of tokens"):
        text.read_bytes(out)
    with pytest.raises(CorpusError, match="'.*text' is no file of tokens"):
        text.read_tokens(written)


def test_what_cannot_be_prepared_leaves_nothing_behind(written, tmp_path):
    out = tmp_path / "tokens"
    for choice, sentence in (
        ({"path": tmp_path / "none"}, "does not exist"),
        ({"out": written}, "is the text itself"),
        ({"out": tmp_path / "none" / "tokens"}, "the tokens cannot be written there"),
        ({"words": 1}, "give at least 2"),
        ({"words": 9, "as_bytes": True}, "--bytes or --words, not both"),
    ):
        with pytest.raises(InputError, match=sentence):
            text.prepare(**{"path": written, "out": out} | choice)

    def disturb(content):
        def tell(share):
            if share == 0.5:  # between the two readings
                other = written.with_name("other")
                other.write_bytes(content.encode())
                other.replace(written)

        return tell

    for content in (WRITTEN.replace("f", "o"), WRITTEN.replace("f", "§")):
        with pytest.raises(CorpusError, match="changed while it was read"):
            text.prepare(written, out, tell=disturb(content))
        written.write_bytes(WRITTEN.encode())
    with pytest.raises(KeyboardInterrupt):
        text.prepare(written, out, tell=lambda share: signal.raise_signal(signal.SIGINT))
    assert list(tmp_path.iterdir()) == [written]


@pytest.mark.skipif(os.name != "posix", reason="limits the files of this process")
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(written):
    out = written.with_name("tokens")
    out.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        with pytest.raises(ModelFileError, match="the tokens cannot be written there"):
            text.prepare(written, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in written.parent.iterdir()) == ["text", "tokens"]


KILLED = """
import os, signal, sys
from jaxrnn.text import files, prepare
files.PIECE = 7
prepare(*sys.argv[1:3], tell=lambda share: share < 0.8 or os.kill(os.getpid(), signal.SIGKILL))
"""

pytestmark = pytest.mark.usefixtures("small_pieces")


def test_after_a_kill_the_next_preparation_begins_anew(written):
    out = written.with_name("tokens")
    out.write_bytes(b"old")
    settings = {"PYTHONPATH": str(Path(text.__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, written, out], env=os.environ | settings, timeout=300
    )
    assert ended.returncode == -signal.SIGKILL and out.read_bytes() == b"old"
    assert len(list(written.parent.iterdir())) == 3  # the text, the old file, and what was begun
    written.with_name(".tokens.tmp").touch()  # somebody else's
    prepared = text.prepare(written, out)
    np.testing.assert_array_equal(prepared.tokens, in_memory(written).tokens)
    assert sorted(path.name for path in written.parent.iterdir()) == [
        *(".tokens.tmp", "text", "tokens")
    ]
