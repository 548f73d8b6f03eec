import os
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.errors import CorpusError
from jaxrnn.text import (
    corpus,
    read_bytes,
    read_text,
    split,
    standard_library_source,
)


def test_the_standard_library_is_deterministic_limited_and_described():
    source = standard_library_source(limit=100_000)
    assert source == standard_library_source(limit=100_000)
    assert len(source.text) == 100_000 and source.text.isascii() and "\ndef " in source.text
    assert "100,000 characters" in source.description and "limit" in source.description
    assert standard_library_source(limit=200_000).text.startswith(source.text)


@pytest.mark.parametrize("limit", [0, -1])
def test_the_limit_must_be_positive(limit):
    with pytest.raises(CorpusError, match="positive"):
        standard_library_source(limit)


def test_tests_and_installed_packages_are_left_out(tmp_path, monkeypatch):
    for name in ("z.py", "a/b.py", "test/t.py", "a/tests/t.py", "site-packages/s.py", "n.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "foreign.py").write_text("# é\n", encoding="utf-8")
    monkeypatch.setattr(corpus.sysconfig, "get_path", lambda name: str(tmp_path))
    assert sorted(standard_library_source().text.splitlines()) == ["# a/b.py", "# z.py"]
    monkeypatch.setattr(corpus.sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    with pytest.raises(CorpusError, match="--text FILE"):
        standard_library_source()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\nb\x00é😀".encode(), "a\r\nb\x00é😀"),
        (b"\xef\xbb\xbfabc\xef\xbb\xbf", "abc\ufeff"),
    ],
)
def test_text_is_kept_as_it_is_but_for_the_byte_order_mark(tmp_path, raw, text):
    path = tmp_path / "text"
    path.write_bytes(raw)
    assert read_text(path).text == text
    assert read_bytes(path).text == raw
    assert str(path) in read_text(path).description


def test_files_that_are_none(tmp_path, monkeypatch):
    empty, mark, large, pipe = (tmp_path / name for name in ("empty", "mark", "large", "pipe"))
    empty.touch()
    mark.write_bytes(b"\xef\xbb\xbf")
    large.write_bytes(b"12345")
    os.mkfifo(pipe)
    monkeypatch.setattr(corpus, "MAX_BYTES", 4)
    for path, message in {
        tmp_path / "missing": "does not exist",
        tmp_path: "is a directory",
        pipe: "not a regular file",
        empty: "is empty",
        mark: "byte-order mark",
        large: "5 bytes, more than the 4",
        empty / "below": "cannot be read",
        Path("nul\x00"): "cannot be",
        Path("x" * 5000): "cannot be read",
    }.items():
        with pytest.raises(CorpusError, match=message):
            read_text(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to the superuser")
def test_an_unreadable_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("secret")
    path.chmod(0)
    with pytest.raises(CorpusError, match="Permission denied"):
        read_text(path)


def test_what_is_not_utf_8_is_located(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes(b"caf\xe9 au lait")
    with pytest.raises(CorpusError, match=r"byte 0xe9 at offset 3; .*--bytes"):
        read_text(path)


def test_the_end_is_held_out_in_one_piece():
    tokens = np.arange(1005)
    train, validation, test, name = split(tokens, held_out=0.2)
    np.testing.assert_array_equal(np.concatenate([train, validation]), tokens)
    assert test.size == 0
    assert len(validation) == 201 and name == "last 20% of the text"
    assert len(split(tokens, held_out=1.0).validation) == 1005


@pytest.mark.parametrize("held_out", [0, -0.1, 1.1, float("nan")])
def test_the_share_must_be_a_share(held_out):
    with pytest.raises(CorpusError, match="share"):
        split(np.arange(100), held_out)


def test_too_little_to_validate_on():
    with pytest.raises(CorpusError, match="needs at least 2"):
        split(np.arange(14))
