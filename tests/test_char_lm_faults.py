"""Training by the command line under kills, signals and full disks."""

import resource
import signal
import subprocess
import sys
import time

import jax
import kill_training
import numpy as np
import pytest
from compilation import QUICK
from kill_training import COMBINATIONS, outcome, prepare, start, undisturbed

from jaxrnn import text

FLAGS = COMBINATIONS[1]  # an LSTM with dropout: there is a carry of two parts, and chance


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """A dozen processes compile the same programs."""
    kill_training.SETTINGS |= QUICK | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


@pytest.fixture(scope="module")
def undisturbed_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("once") / "whole"


@pytest.fixture(scope="module")
def whole(undisturbed_folder):
    """What an undisturbed training leaves."""
    return undisturbed(undisturbed_folder, FLAGS, steps=120)


def wait_for(process, beginning):
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"no line begins with {beginning!r}")


def test_sigterm_saves_at_once_and_neither_it_nor_kills_change_anything(whole, tmp_path):
    """`kill_training.py` has done fifty, over all cells and optimizers."""
    folder = prepare(tmp_path / "asked")
    process = start(folder, [*FLAGS, "--steps", "120"])
    assert wait_for(process, "there is no checkpoint in 'char_lm.checkpoints': beginning anew")
    wait_for(process, "step 40/")
    process.send_signal(signal.SIGTERM)
    printed = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=300) == 128 + signal.SIGTERM
    assert printed.endswith("error: terminated\n") and "Traceback" not in printed
    step = int(printed.split("stopped after step ")[1].split(":")[0])
    process = start(folder, [*FLAGS, "--steps", "120"])
    assert wait_for(process, "going on after") == f"going on after step {step}\n"
    wait_for(process, "step ")
    process.kill()
    process.communicate(timeout=300)
    process = start(folder, [*FLAGS, "--steps", "120"])
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "going on after step " in printed, printed
    assert outcome(folder, 120, printed) == whole


BUSY = """
import hashlib
from jaxrnn.training import stop_signals
with stop_signals():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # Python runs no handler until this is over
"""


def test_a_second_signal_ends_at_once():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    wait_for(process, "ready")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 10
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the files of another process")
def test_a_disk_that_fills_up_stops_training_with_a_good_checkpoint(whole, tmp_path):
    folder = prepare(tmp_path / "full")
    process = start(folder, [*FLAGS, "--steps", "120"])
    wait_for(process, "step 40/")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2000, 2000))
    printed = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=300) == 1
    assert "cannot be written (" in printed and "Traceback" not in printed
    late = [line for line in printed.splitlines() if line.startswith("step ")]
    assert len(late) <= 3  # one interval, and what was under way when the limit came
    before = text.load(max((folder / "char_lm.checkpoints").glob("?0"), key=lambda p: int(p.name)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(before.params))
    process = start(folder, [*FLAGS, "--steps", "120"])  # there is room again
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "going on after step " in printed, printed
    assert outcome(folder, 120, printed) == whole


def test_an_unfinished_training_is_not_begun_anew_by_mistake(whole, undisturbed_folder):
    """The last test with that folder: what was finished makes room, what was not does not."""
    for status, sentence in (
        (0, "saved the model as it was after step 1"),
        (2, "stopped after step 1: go on with --resume, or remove the folder"),
    ):
        process = start(undisturbed_folder, ("--steps", "1", "--no-resume"))
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == status and sentence in printed, printed
        (seal,) = undisturbed_folder.rglob("seal.json")
        seal.write_text("")  # so that it cannot be known to have been finished
