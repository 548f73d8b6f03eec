"""Damaged, foreign and forged model files: none may be read as something that was not saved."""

import json
import os
import random

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import jaxrnn
from jaxrnn import atomic_file, model_file
from jaxrnn.description import describe
from jaxrnn.errors import CorruptFileError, ModelFileError
from jaxrnn.model_file import load_model, save_model


@pytest.fixture
def saved(tmp_path, key):
    layer = jaxrnn.stack(jaxrnn.Embedding(5, 2), jaxrnn.GRU(2, 3), jaxrnn.Linear(3, 5))
    path = tmp_path / "model.safetensors"
    save_model(path, layer, layer.init(key), vocabulary={"characters": "abcde"})
    return path


def is_silent(path, good):
    """Whether a damaged file was read as something else than what was saved."""
    try:
        found = load_model(path)
    except ModelFileError as error:
        assert str(path) in str(error)
        return False
    leaves = zip(*(jax.tree.leaves(model.params) for model in (found, good)), strict=True)
    same = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in leaves)
    return not same or (found.network, found.metadata) != (good.network, good.metadata)


def test_no_damage_is_silent(saved):
    raw, good = saved.read_bytes(), load_model(saved)
    chance = random.Random(0)
    damaged = [raw[:length] for length in chance.sample(range(len(raw)), 200)]
    for bit in chance.sample(range(8 * len(raw)), 1000):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for _ in range(100):
        start = chance.randrange(len(raw))
        damaged.append(raw[:start] + bytes(min(16, len(raw) - start)) + raw[start + 16 :])
    damaged += [raw + b"\x00", raw + raw, raw[:8] + raw[9:]]
    for content in damaged:
        if content != raw:
            saved.write_bytes(content)
            assert not is_silent(saved, good)


def test_swapped_arrays_are_noticed(tmp_path, key):
    """Both files are sound; only the digest knows which bytes belong to which description."""
    layer = jaxrnn.Linear(2, 2)
    for name, draw in zip("ab", jax.random.split(key), strict=True):
        save_model(tmp_path / name, layer, layer.init(draw))
    raws = [(tmp_path / name).read_bytes() for name in "ab"]
    assert len(raws[0]) == len(raws[1])
    size = 8 + int.from_bytes(raws[0][:8], "little")
    (tmp_path / "c").write_bytes(raws[0][:size] + raws[1][size:])
    with pytest.raises(CorruptFileError, match="SHA-256"):
        load_model(tmp_path / "c")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"dtype":"F64"', b'"dtype":"I64"'),
        (b'"shape":[2,3]', b'"shape":[3,2]'),
        (b'"first"', b'"other"'),
        (b'\\"input_size\\": 1', b'\\"input_size\\": 7'),
        (b"a note", b"a mote"),
    ],
)
def test_edits_that_keep_the_file_sound_are_noticed(tmp_path, monkeypatch, old, new):
    """safetensors accepts each of these files, and so would a digest over the bare bytes."""
    path = tmp_path / "model"
    arrays = {"first": np.ones((2, 3)), "second": np.ones((2, 3))}
    monkeypatch.setattr(model_file, "_check_arrays", lambda network, arrays: None)
    monkeypatch.setattr(model_file, "named_leaves", lambda params: sorted(params.items()))
    save_model(path, jaxrnn.OneHot(1), arrays, note="a note")
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new))
    with safetensors.safe_open(path, framework="np") as file:
        assert len(file.keys()) == 2
    with pytest.raises(CorruptFileError, match="SHA-256"):
        load_model(path)


@pytest.mark.parametrize(
    "raw", [b"", b"\x00" * 7, b"hello world, this is text" * 99, b"\xff" * 64, b"\x00" * 64]
)
def test_foreign_files(tmp_path, raw):
    path = tmp_path / "foreign"
    path.write_bytes(raw)
    with pytest.raises(CorruptFileError, match="foreign.*not a model file"):
        load_model(path)


def test_files_that_hold_no_model(tmp_path, saved, monkeypatch):
    safetensors.numpy.save_file({"w": np.zeros(3)}, tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "other": "not one that jaxrnn wrote",
        "missing": "No such file",
        ".": "not a regular file",
        "pipe": "not a regular file",
    }.items():
        with pytest.raises(ModelFileError, match=message):
            load_model(tmp_path / name)
    monkeypatch.setattr(atomic_file, "MAX_BYTES", 10)
    with pytest.raises(ModelFileError, match="larger than the 10 bytes"):
        load_model(saved)


def forge(path, network, arrays, version=model_file.FORMAT, metadata="{}"):
    """A file with a valid digest around anything: what a hostile sender can make."""
    texts = {"jaxrnn_format": version, "network": network, "metadata": metadata}
    header = texts | {"sha256": model_file._digest(texts, arrays)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata=header))


HOSTILE = [
    "not json",
    "[" * 100_000,
    "null",
    "5",
    '"LSTM"',
    "{}",
    "[]",
    '{"type": "os.system", "command": "true"}',
    '{"type": "tanh"}',
    '{"function": "tanh"}',
    '{"function": "LSTM"}',
    '{"function": "__import__"}',
    '{"type": "LSTM"}',
    '{"type": "LSTM", "input_size": 3, "hidden_size": 4, "extra": 1}',
    '{"type": "LSTM", "input_size": -3, "hidden_size": 4}',
    '{"type": "LSTM", "input_size": "3", "hidden_size": 4}',
    '{"type": "LSTM", "input_size": 3, "hidden_size": 1e400}',
    '{"type": "Linear", "input_size": 2, "output_size": 99999999999999999999}',
    '{"type": "Linear", "input_size": 2, "output_size": 2, "kernel_init": 7}',
    '{"type": "Linear", "input_size": 2, "output_size": 2, "kernel_init": {"function": "tanh"}}',
    '{"type": "Stack", "layers": []}',
    '{"type": "Stack", "layers": 5}',
    '{"type": "Stack", "layers": [5]}',
    '{"type": "Reverse", "layer": ' * 40 + "5" + "}" * 40,
]


@pytest.mark.parametrize("network", HOSTILE, ids=lambda text: text[:70])
def test_hostile_descriptions_are_refused(tmp_path, network):
    forge(tmp_path / "hostile", network, {"kernel": np.zeros((2, 2)), "bias": np.zeros(2)})
    with pytest.raises(ModelFileError, match="hostile"):
        load_model(tmp_path / "hostile")


def test_other_versions_and_wrong_shapes_are_refused(tmp_path):
    path, network = tmp_path / "forged", json.dumps(describe(jaxrnn.Linear(2, 2)))
    good = {"kernel": np.zeros((2, 2)), "bias": np.zeros(2)}
    forge(path, network, good)
    load_model(path)
    forge(path, network, good, version="99")
    with pytest.raises(ModelFileError, match="version '99'"):
        load_model(path)
    forge(path, network, good, metadata="{")
    with pytest.raises(ModelFileError, match="no JSON"):
        load_model(path)
    forge(path, network, good, metadata="5")
    with pytest.raises(ModelFileError, match="no dictionary"):
        load_model(path)
    for wrong in (
        good | {"kernel": np.zeros((4, 1))},
        good | {"extra": np.zeros(1)},
        {"kernel": np.zeros((2, 2))},
    ):
        forge(path, network, wrong)
        with pytest.raises(ModelFileError, match="do not belong"):
            load_model(path)
