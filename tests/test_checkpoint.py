"""Checkpoints: complete or not there, kept by a rule, proven on loading, whatever befalls them."""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.checkpoint import (
    Retention,
    difference,
    load_checkpoint,
    open_checkpoints,
    orbax_files,
    reading,
    seal,
    store,
)
from jaxrnn.errors import (
    CheckpointError,
    CorruptFileError,
    InputError,
    NonFiniteError,
    SaveError,
)

CHANCE = np.random.default_rng(0)
TREE = {
    "kernel": CHANCE.normal(size=(40, 30)).astype(np.float32),
    "narrow": jnp.asarray(CHANCE.normal(size=7), jnp.bfloat16),
    "nested": ((np.float64(0.1) * np.ones(()),), np.arange(3)),
    "empty": np.zeros((0, 4)),
    "zeros": np.zeros((50, 50), np.float32),  # Orbax keeps no bytes for these
}


def equal(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(
        (np.asarray(a).tobytes(), a.dtype, a.shape) == (np.asarray(b).tobytes(), b.dtype, b.shape)
        for a, b in pairs
    )


@pytest.fixture
def saved(tmp_path):
    with open_checkpoints(tmp_path / "all") as checkpoints:
        checkpoints.save(7, TREE, {"note": "é"}, score=1.5)
    return tmp_path / "all" / "7"


def test_what_is_loaded_is_what_was_saved(saved):
    tree, content = load_checkpoint(saved, TREE)
    assert equal(tree, TREE) and content == {"note": "é"}
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    specification = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), TREE)
    assert equal(load_checkpoint(saved, specification).tree, TREE)


def test_what_is_saved_may_be_donated_while_it_is_written(tmp_path):
    state = jnp.arange(10.0)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
        jax.jit(lambda x: x + 1, donate_argnums=0)(state)
        assert state.is_deleted()
    assert equal(load_checkpoint(tmp_path / "1", np.zeros(10)).tree, np.arange(10.0))


@pytest.mark.parametrize(
    ("retention", "kept"),
    [(Retention(1, 0), [6]), (Retention(2, 1), [3, 5, 6]), (Retention(1, 2), [2, 3, 6])],
)
def test_the_newest_and_the_best_are_kept(tmp_path, retention, kept):
    scores = {1: 5.0, 2: 2.0, 3: 1.0, 4: 4.0, 5: 3.0, 6: None}
    for steps in ((1, 2, 3), (4, 5, 6)):  # the second time, scores are read from the files
        with open_checkpoints(tmp_path, retention) as checkpoints:
            for step in steps:
                checkpoints.save(step, np.full(2, step), {}, scores[step])
    assert checkpoints.steps() == kept
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == kept
    with pytest.raises(InputError, match="at least the last one"):
        Retention(last=0)


def test_a_step_that_is_there_is_left_as_it_is(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, np.ones(2), {})
        checkpoints.save(1, np.zeros(2), {})
    assert equal(load_checkpoint(tmp_path / "1", np.ones(2)).tree, np.ones(2))


def test_what_is_not_finite_is_never_saved(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": np.ones(2)}, {})
        for bad in (np.nan, np.inf):
            with pytest.raises(NonFiniteError, match="'w' is not finite at step 2"):
                checkpoints.save(2, {"w": jnp.array([1, bad], jnp.bfloat16)}, {})
    assert checkpoints.steps() == [1]


def test_a_tree_of_other_arrays_is_refused_by_name(saved):
    for wrong, message in (
        (TREE | {"kernel": np.zeros((30, 40), np.float32)}, r"'kernel' is float32\[40, 30\]"),
        (TREE | {"kernel": np.zeros((40, 30))}, r"and float64\[40, 30\] here"),
        (TREE | {"more": np.zeros(1)}, "'more' is missing in the checkpoint"),
        ({key: TREE[key] for key in TREE if key != "kernel"}, "and missing here"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(saved, wrong)


def test_differences_are_named():
    saved = {"a": 1, "b": [1, {"c": "x"}], "d": True}
    assert difference(saved, json.loads(json.dumps(saved))) is None
    for given, clause in (
        (saved | {"a": 2}, "a is 1 in the checkpoint, and 2 here"),
        (saved | {"b": [1, {"c": "y"}]}, "b[1].c is 'x' in the checkpoint, and 'y' here"),
        (saved | {"b": [1]}, "b[1] is {'c': 'x'} in the checkpoint, and missing here"),
        (saved | {"d": 1}, "d is True in the checkpoint, and 1 here"),
        ({"a": 1, "b": saved["b"]}, "d is True in the checkpoint, and missing here"),
    ):
        assert difference(saved, given) == clause


def damages(raw, others, chance):
    """A file, damaged in one of many ways; None for a file that is gone."""
    bit = chance.randrange(8 * len(raw))
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    place = chance.randrange(len(raw))
    ways = (
        bytes(flipped),
        raw[:place],
        raw[:place] + bytes(len(raw[place : place + 64])) + raw[place + 64 :],
        chance.choice(others),
        chance.randbytes(len(raw)),
        raw + b"\0",
        None,
    )
    return chance.choices(ways, weights=[4, 1, 1, 1, 1, 1, 1])[0]


def test_no_damage_is_silent(saved):
    """1,000 times, one file in each; also what lies beside the sealed parts."""
    files = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    chance = random.Random(0)
    noticed = 0
    for _ in range(1000):
        path = chance.choice(list(files))
        damaged = damages(files[path], list(files.values()), chance)
        path.unlink() if damaged is None else path.write_bytes(damaged)
        try:
            tree, content = load_checkpoint(saved, TREE)
        except CorruptFileError as error:
            noticed += 1
            assert f"'{path}'" in str(error)
        else:
            assert equal(tree, TREE) and content == {"note": "é"}
            unsealed = path.name in ("_CHECKPOINT_METADATA", "commit_success.txt")
            assert damaged == files[path] or (unsealed and path.parent == saved)
        path.write_bytes(files[path])
    assert noticed > 700


def test_foreign_files_and_links_in_the_folder_are_refused(saved):
    target = saved / "state" / "_METADATA"
    raw = target.read_bytes()
    for make, message in (
        (lambda path: os.mkfifo(path), "neither a file nor a folder"),
        (lambda path: path.symlink_to("manifest.ocdbt"), "neither a file nor a folder"),
        (lambda path: path.write_bytes(b"more"), "was added after"),
    ):
        extra = saved / "state" / "extra"
        make(extra)
        with pytest.raises(InputError, match=message):
            load_checkpoint(saved, TREE)
        extra.unlink()
    target.unlink()
    target.symlink_to(saved / "elsewhere")
    (saved / "elsewhere").write_bytes(raw)
    with pytest.raises(CheckpointError, match="neither a file nor a folder"):
        load_checkpoint(saved, TREE)


def test_folders_that_are_no_checkpoints(tmp_path, saved, monkeypatch):
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "none", TREE)
    with pytest.raises(CorruptFileError, match="seal.json' is missing"):
        load_checkpoint(tmp_path, TREE)
    (tmp_path / "seal.json").mkdir()
    with pytest.raises(CheckpointError, match="not the seal"):
        load_checkpoint(tmp_path, TREE)
    monkeypatch.setattr(seal.atomic_file, "MAX_BYTES", 10)
    with pytest.raises(CheckpointError, match="larger than any"):
        load_checkpoint(saved, TREE)
    monkeypatch.setattr(seal, "FORMAT", 2)
    with pytest.raises(CheckpointError, match="version 1, but this jaxrnn reads 2"):
        load_checkpoint(saved, TREE)


def forge(path, arrays, record):
    """A checkpoint with a valid seal around anything: what a hostile sender can make."""
    from jaxrnn.checkpoint import orbax_files

    writer = orbax_files.Writer(
        complete=lambda folder: seal.write_seal(folder, ("state", "record"))
    )
    writer.begin(path, arrays, record)
    writer.finish()
    writer.close()


def test_a_forged_size_is_refused_before_it_is_allocated(tmp_path, monkeypatch):
    """A few bytes may claim to be any number of zeros, and Orbax reads them whatever it expects."""
    small = {"w": np.zeros((2, 2), np.float32)}
    described = reading.describe_array(small["w"])
    record = {"content": {}, "score": None, "arrays": {"w": described}}
    forge(tmp_path / "1", {"w": np.zeros((500, 500), np.float32)}, record)
    forge(tmp_path / "2", small, record)
    monkeypatch.setattr(orbax_files, "read_arrays", None)
    with pytest.raises(CorruptFileError, match="another shape in its file"):
        load_checkpoint(tmp_path / "1", small)
    zip_bomb = orbax_files.ArrayFacts((2, 2), "float32", chunk_shape=(10**6, 10**6))
    monkeypatch.setattr(orbax_files, "array_facts", lambda folder: {"w": zip_bomb})
    with pytest.raises(CorruptFileError, match="another shape in its file"):
        load_checkpoint(tmp_path / "2", small)


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"content": {}, "score": None},
        {"content": [], "score": None, "arrays": {}},
        {"content": {}, "score": "low", "arrays": {}},
        {"content": {}, "score": None, "arrays": {"w": {"dtype": "f", "shape": [2, -2]}}},
        {"content": {}, "score": None, "arrays": {"w": 5}},
        {"content": {}, "score": None, "arrays": {}, "more": 1},
    ],
    ids=repr,
)
def test_forged_records_are_refused(tmp_path, record):
    forge(tmp_path / "1", {"w": np.zeros((2, 2), np.float32)}, record)
    with pytest.raises(InputError, match="1'"):
        load_checkpoint(tmp_path / "1", {"w": np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize(
    "text",
    ["", "5", "[" * 100_000, "{}", '{"format": 1, "files": {"../x": 1}, "sha256": ""}', "\xff"],
    ids=lambda text: text[:30],
)
def test_forged_seals_are_refused(saved, text):
    (saved / "seal.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptFileError, match="seal.json"):
        load_checkpoint(saved, TREE)


def test_the_newest_sound_checkpoint_is_found(tmp_path):
    with open_checkpoints(tmp_path, Retention(last=3)) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, np.full(2, step), {})
    (tmp_path / "3" / "record" / "metadata").write_bytes(b"")
    step, loaded, damaged = checkpoints.load(np.zeros(2, int))
    assert (step, loaded.tree.tolist()) == (2, [2, 2])
    (error,) = damaged
    assert "3/record/metadata' was damaged" in str(error)
    checkpoints.set_aside(after=2)
    assert checkpoints.steps() == [1, 2] and len(list(tmp_path.glob("3.damaged.*"))) == 1
    for step in (1, 2):
        shutil.rmtree(tmp_path / str(step) / "state")
    with pytest.raises(CorruptFileError, match="2/state/.*is missing"):
        checkpoints.load(np.zeros(2, int))


def test_what_a_kill_left_is_removed(tmp_path, saved):
    folder = saved.parent
    for name in ("9.orbax-checkpoint-tmp", "5.deleted"):
        (folder / name / "state").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with open_checkpoints(folder) as checkpoints:
        assert checkpoints.steps() == [7]
    assert sorted(path.name for path in folder.iterdir()) == ["7", "notes.txt"]


LIMITED = """
import resource, signal, sys
import numpy as np
from jaxrnn.checkpoint import open_checkpoints
from jaxrnn.errors import SaveError
tree = {"w": np.random.default_rng(0).normal(size=100_000)}
with open_checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, tree, {})
    checkpoints.finish()
    # Writing past this size fails, as on a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    checkpoints.save(2, tree, {})
    try:
        checkpoints.finish()
    except SaveError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_is_reported_and_the_checkpoint_before_is_intact(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, timeout=120
    )
    assert "the checkpoint of step 2 cannot be written (" in done.stdout, done.stderr
    assert "the one before it is as it was" in done.stdout and done.stdout.count("\n") == 1
    tree = {"w": np.random.default_rng(0).normal(size=100_000)}
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1]
    assert equal(checkpoints.load(tree)[1].tree, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_folder_that_is_lost_is_reported(tmp_path):
    folder = tmp_path / "all"
    with pytest.raises(SaveError, match="step 2 cannot be written"):
        with open_checkpoints(folder) as checkpoints:
            checkpoints.save(1, np.ones(2), {})
            checkpoints.finish()
            folder.rename(tmp_path / "moved")
            folder.write_bytes(b"a file in its place")
            checkpoints.save(2, np.ones(2), {})
    assert equal(load_checkpoint(tmp_path / "moved" / "1", np.ones(2)).tree, np.ones(2))


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written there"):
        with open_checkpoints(tmp_path / "file"):
            pass
    if os.geteuid():  # nothing is forbidden to root
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(CheckpointError, match="Permission denied"):
            with open_checkpoints(tmp_path / "new"):
                pass


def test_saving_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    gate = threading.Event()

    def slow(folder, parts):
        assert gate.wait(60)
        seal.write_seal(folder, parts)

    monkeypatch.setattr(store, "write_seal", slow)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, np.ones(2), {})
        assert checkpoints.steps() == []  # and yet it came back
        gate.set()
        checkpoints.finish()
        assert checkpoints.steps() == [1]
