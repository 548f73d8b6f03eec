"""One training on many devices and in many processes: the same numbers, wherever it goes on.

Eight devices are eight parts of this machine's processor, and two processes are two on it: real
ones, which meet at a port and add up their gradients over it (gloo).
"""

import dataclasses
import re
import signal
import socket
import time
from pathlib import Path

import jax
import kill_training
import pytest
from compilation import QUICK
from devices import run_on_devices
from kill_training import COMBINATIONS, outcome, prepare, start, undisturbed

from jaxrnn import text
from jaxrnn.errors import InputError
from jaxrnn.training import data_mesh, meet

PAGE = (Path(__file__).parents[1] / "examples" / "char_lm.md").read_text("utf-8")
STEPS = ("--steps", "120")
# An LSTM with noise in its weights as well: a carry of two parts, and chance.
NOISY = [*COMBINATIONS[1], "--weight-drop", "0.2", *STEPS]

EIGHT = """
import dataclasses
import re

import jax
import numpy as np

from jaxrnn import text
from jaxrnn.text import fitting
from jaxrnn.training import ManyDevices, OneDevice, data_mesh

written = "the quick brown fox jumps over the lazy dog\\n" * 40
vocabulary = text.CharVocabulary.from_text(written)
parts = text.split(vocabulary.encode(written), 0.2)
network = text.build_network(
    text.ModelConfig(
        cell="lstm", hidden_size=8, embedding_size=16,  # as wide as the batch
        dropout=0.2, locked_dropout=0.1, weight_drop=0.3,
    ),
    vocabulary.size,
)
# A pass over the text is 5 windows: the carry begins anew twice.
config = text.TrainConfig(steps=12, batch=16, window=15, report_every=6, average="exponential")


def places(count):
    return OneDevice() if count == 1 else ManyDevices(data_mesh(count))


def train(count, config=config, start=None):
    return list(text.fit(network, config, *parts[:2], start=start, devices=places(count)))


def assert_near(left, right):
    assert left.step == right.step
    for name in ("loss", "gradient_norm", "validation_loss", "update_ratio"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=3e-6)
    for a, b in zip(jax.tree.leaves(left.point), jax.tree.leaves(right.point), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=3e-6)


alone = train(1)
for count in (2, 8):
    found = train(count)
    for left, right in zip(alone, found, strict=True):
        assert_near(left, right)

# From a point of eight devices on eight again, bit for bit; and on one.
(again,) = train(8, start=found[0].point)
for a, b in zip(jax.tree.leaves(again.point), jax.tree.leaves(found[1].point), strict=True):
    assert a.tobytes() == b.tobytes()
(again,) = train(1, start=found[0].point)
assert_near(again, alone[1])

in_parts = dataclasses.replace(config, accumulate=2, steps=6)
for left, right in zip(train(1, in_parts), train(8, in_parts), strict=True):
    assert_near(left, right)

# What the devices tell one another in a step: sums, and those outside of every loop.
eight = places(8)
step, _ = fitting._train_steps(network, config, text.fitting.jaxrnn.folds.automatic, eight)
point = text.begin(network, config)
batch = eight.put_batch(*[np.zeros((15, 16), np.int32)] * 2)
program = step.lower(eight.put(point.state, 16), np.asarray(point.key), *batch).compile().as_text()
where = None
kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
found = set()
for line in program.splitlines():
    if line.endswith("{") and not line.startswith(" "):
        where = line.split()[0]
    for kind in re.findall(rf" ({kinds})(?:-start)?[(]", line):
        found.add((where, kind))
assert found == {("ENTRY", "all-reduce")}, found
placed = eight.put(point.state, 16)
carry, params = jax.tree.leaves(placed.carry), jax.tree.leaves(placed.params)
assert all(leaf.sharding.shard_shape(leaf.shape)[0] == 2 for leaf in carry)
assert all(leaf.sharding.is_fully_replicated for leaf in params)
print("ok")
"""


def test_one_two_and_eight_devices_train_alike():
    run_on_devices(EIGHT, 8)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """A dozen processes compile the same programs."""
    before = dict(kill_training.SETTINGS)
    kill_training.SETTINGS |= QUICK | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    yield
    kill_training.SETTINGS.clear()
    kill_training.SETTINGS.update(before)


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def commands(pattern):
    """The flags of commands on the page, with a port that is free here."""
    found = re.findall(rf"char_lm\.py train ({pattern})", PAGE)
    port = free_port()
    return [re.sub(r"localhost:\d+", f"localhost:{port}", flags).split() for flags in found]


def start_two(folder, first=0, more=NOISY):
    """Two processes, one of them somewhat before the other."""
    flags = commands(r"--processes 2 --process-id \d --coordinator localhost:\d+")
    assert len(flags) == 2
    processes = {}
    for number in (first, 1 - first):
        processes[number] = start(folder, [*flags[number], *more])
        time.sleep(0.5)
    return processes[0], processes[1]


def ends(process):
    printed, _ = process.communicate(timeout=120)
    assert "Traceback" not in printed, printed
    return process.returncode, printed


def wait_for(process, beginning):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(beginning):
            return line
    raise AssertionError("".join(lines))


def test_a_training_goes_from_one_process_to_two_and_back(tmp_path, monkeypatch):
    """Asked to stop, killed, in either order of start: two devices, so the same bytes."""
    ((*two_devices,),) = commands(r"--devices 2")
    whole = undisturbed(tmp_path / "whole", [*two_devices, *NOISY], 120)

    folder = prepare(tmp_path / "often")
    first, second = start_two(folder, first=1)
    wait_for(first, "step 20/")
    second.send_signal(signal.SIGTERM)
    status, printed = ends(first)
    assert status == 128 + signal.SIGTERM and printed.endswith("error: terminated\n"), printed
    stopped = int(printed.split("stopped after step ")[1].split(":")[0])
    status, printed = ends(second)
    assert status == 128 + signal.SIGTERM and "step" not in printed, printed

    alone = start(folder, [*two_devices, *NOISY])
    assert wait_for(alone, "going on after") == f"going on after step {stopped}\n"
    wait_for(alone, "step 60/")
    alone.kill()
    ends(alone)

    first, second = start_two(folder, first=0)
    wait_for(first, "going on after step ")
    wait_for(first, "step ")
    second.kill()
    began = time.monotonic()
    status, printed = ends(first)
    assert status == 1 and time.monotonic() - began < 30, printed
    assert "error: process 0 cannot go on with the others (" in printed, printed
    ends(second)

    # To the end, each told by its environment which one it is, as by SLURM.
    assert "srun" in PAGE and commands("--cluster")
    cluster = {
        **{"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"},
        **{"SLURM_STEP_NUM_NODES": "1", "JAX_COORDINATOR_PORT": str(free_port())},
    }
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    processes = []
    for number in "10":
        monkeypatch.setenv("SLURM_PROCID", number)
        monkeypatch.setenv("SLURM_LOCALID", number)
        processes.append(start(folder, ["--cluster", *NOISY]))
    (status, printed), (other_status, other) = map(ends, reversed(processes))
    assert (status, other_status) == (0, 0) and "step" not in other, printed + other
    assert "going on after step " in printed and "note: " not in printed
    assert outcome(folder, 120, printed) == whole


def test_processes_that_were_given_something_else_or_that_nobody_joins_end(tmp_path):
    folder = prepare(tmp_path / "fox")
    (folder / "cat.txt").write_text("a cat is no fox\n" * 100)
    port = free_port()
    flags = ["--processes", "2", "--coordinator", f"localhost:{port}", "--process-id"]
    pair = [
        start(folder, [*flags, number, *NOISY, "--text", name])
        for number, name in (("0", "fox.txt"), ("1", "cat.txt"))
    ]
    lonely = start(folder, [*flags[:3], f"localhost:{free_port()}", *flags[4:], "1", "--wait", "2"])
    for process in pair:
        status, printed = ends(process)
        assert status == 2 and "error: process 1 was given another text" in printed, printed
    status, printed = ends(lonely)
    assert status == 1 and printed.startswith("error: waited 2 s at localhost:"), printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"devices": 0}, "devices is 0; give a positive number"),
        ({"processes": 0}, "processes is 0; give a positive number"),
        ({"devices": 5}, "a batch of 32 rows cannot be shared equally by 5 devices: give a multi"),
        ({"devices": 4, "processes": 3}, "equally by 12 devices"),
        ({"processes": 2}, "process_id is None; give the number of this process, from 0 to 1"),
        ({"processes": 2, "process_id": 2}, "process_id is 2; give the number of this process"),
        ({"processes": 2, "process_id": 0}, "coordinator is None; give HOST:PORT"),
        ({"processes": 2, "process_id": 0, "coordinator": "localhost"}, "is localhost; give HOST"),
        ({"processes": 2, "process_id": 0, "coordinator": "a:99999"}, "is a:99999; give HOST"),
        ({"process_id": 1}, "one process meets no others: say how many, by --processes"),
        ({"coordinator": "a:1"}, "one process meets no others"),
        ({"cluster": True, "processes": 2}, "give --cluster or these, not both"),
        ({"wait": 0}, "wait is 0; give a positive number"),
    ],
    ids=str,
)
def test_numbers_that_are_wrong(config, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        text.DeviceConfig(**config).start(text.TrainConfig())


def test_what_there_is_not():
    with pytest.raises(InputError, match=r"devices is 3, but there are 1 \(cpu\): give a number"):
        data_mesh(3)
    # In a process that has begun to compute.
    with pytest.raises(InputError, match="devices is 2, but there are 1"):
        text.DeviceConfig(devices=2).start(text.TrainConfig())
    with pytest.raises(InputError, match=r"no cluster is known from the environment \("):
        text.DeviceConfig(cluster=True).start(text.TrainConfig())
    assert not jax.distributed.is_initialized()
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"process 0 cannot listen at port {port}"):
            meet(f"localhost:{port}", 2, 0)
    in_parts = dataclasses.replace(text.TrainConfig(), accumulate=8)
    with pytest.raises(InputError, match="by 8 devices, each in 8 parts: give a multiple of 64"):
        text.DeviceConfig(devices=8).check(in_parts)
