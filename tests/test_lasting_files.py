"""What was said to be saved outlasts a power cut, and two trainings write to two folders."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.atomic_file import write_atomically
from jaxrnn.checkpoint import Retention, load_checkpoint, lock, open_checkpoints
from jaxrnn.errors import CheckpointError
from jaxrnn.text import metrics_position

HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""

with_locks = pytest.mark.skipif(lock.fcntl is None, reason="there are no such locks here")


@with_locks
def test_one_writer_at_a_time_and_any_number_of_readers(tmp_path):
    folder = tmp_path / "all"
    with open_checkpoints(folder) as checkpoints:
        checkpoints.save(1, np.ones(2), {})
        checkpoints.finish()
        (folder / "2.orbax-checkpoint-tmp").mkdir()  # the first is writing this
        with pytest.raises(CheckpointError, match=r"all' is in use: another training writes"):
            with open_checkpoints(folder):
                pass
        assert (folder / "2.orbax-checkpoint-tmp").exists()
        assert load_checkpoint(folder / "1", np.ones(2)).tree.sum() == 2
    with open_checkpoints(folder) as checkpoints:
        assert checkpoints.steps() == [1]
    assert [path.name for path in folder.iterdir()] == ["1"]


@with_locks
def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(CheckpointError, match="in use"):
        with open_checkpoints(tmp_path):
            pass
    holder.kill()
    holder.communicate()
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, np.ones(2), {})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@with_locks
def test_a_folder_that_is_removed_while_it_is_being_locked_is_made_again(tmp_path, monkeypatch):
    folder, flock, times = tmp_path / "all", lock.fcntl.flock, []

    def late(descriptor, how):
        if not times:
            folder.rmdir()  # as one who ended before with nothing saved
        times.append(how)
        flock(descriptor, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with open_checkpoints(folder):
        assert folder.is_dir() and len(times) == 2


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EBADF, None])
def test_where_there_are_no_locks_one_does_without(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    if code is None:
        monkeypatch.setattr(lock, "fcntl", None)
    elif lock.fcntl is not None:
        monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with open_checkpoints(tmp_path), open_checkpoints(tmp_path):
        pass


@pytest.fixture
def synced(monkeypatch):
    """What was brought on to the disk: each file or folder, with the names there at that time."""
    found, sync = [], os.fsync

    def fsync(descriptor):
        status = os.fstat(descriptor)
        names = frozenset(os.listdir(descriptor)) if stat.S_ISDIR(status.st_mode) else None
        found.append((status.st_ino, names))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def inode(path):
    return os.stat(path).st_ino


@pytest.mark.skipif(os.name != "posix", reason="opens folders")
def test_a_new_name_is_on_the_disk_too(tmp_path, synced):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    write_atomically(path, b"new", verify=Path.read_bytes)
    assert [(inode(path), None), (inode(tmp_path), frozenset({"model"}))] == synced
    del synced[:]
    metrics_position(path)
    assert [(inode(path), None), (inode(tmp_path), frozenset({"model"}))] == synced


@pytest.mark.skipif(os.name != "posix", reason="opens folders")
def test_a_checkpoint_is_on_the_disk_before_the_one_it_replaces_is_removed(tmp_path, synced):
    folder = tmp_path / "all"
    with open_checkpoints(folder, Retention(last=1, best=0)) as checkpoints:
        checkpoints.save(1, np.ones(2), {})
        checkpoints.finish()
        del synced[:]
        checkpoints.save(2, np.ones(2), {})
        checkpoints.finish()
        assert checkpoints.steps() == [2]
    places = dict(synced)
    assert places[inode(folder)] == {"1", "2"} and places[inode(tmp_path)] == {"all"}
    for part in ("state", "record"):
        for path in [folder / "2" / part, *(folder / "2" / part).rglob("*")]:
            assert inode(path) in places, path
    assert "seal.json" in places[inode(folder / "2")]
    order = [place for place, _ in synced]
    assert order.index(inode(folder / "2" / "seal.json")) < order.index(inode(folder))
