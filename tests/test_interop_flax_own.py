"""Flax's own recurrent tests, from its source distribution, with our cells behind the adapters."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from compilation import QUICK
from flax_own_tests import DESELECTED

HERE = Path(__file__).parent
FILES = ("tests/linen/linen_recurrent_test.py", "tests/nnx/nn/recurrent_test.py")


def download(folder):
    """The source distribution of the Flax that is installed; it alone has the tests."""
    version = importlib.metadata.version("flax")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # pip reads the metadata of what it downloads, and takes what that needs from the same index.
    wanted = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"flax=={version}"]
    patience = ["--retries", "1", "--timeout", "15"]
    try:
        done = subprocess.run(
            [*pip, "download", *patience, *wanted], capture_output=True, text=True, timeout=180
        )
        reason = done.returncode and (done.stderr.strip() or "no message").splitlines()[-1]
    except subprocess.TimeoutExpired:
        reason = "three minutes were not enough"
    if reason:
        pytest.skip(f"the source distribution of flax {version} cannot be had: {reason}")
    (archive,) = folder.glob("flax-*.tar.gz")
    return archive


def unpack(archive, folder):
    """The two test files and nothing else, each under a name of our choice."""
    with tarfile.open(archive) as tar:
        for file in FILES:
            (member,) = (m for m in tar.getmembers() if m.name.partition("/")[2] == file)
            assert member.isfile()
            (folder / Path(file).name).write_bytes(tar.extractfile(member).read())


def test_flax_tests_pass_with_our_cells(tmp_path):
    unpack(download(tmp_path), tmp_path)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "JAX_PLATFORMS": "cpu",
        "PYTEST_ADDOPTS": "",
        **QUICK,
    }
    tests = [Path(file).name for file in FILES]
    options = ["-q", "-p", "flax_own_tests", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed, deselected = re.search(r"(\d+) passed, (\d+) deselected", done.stdout).groups()
    assert int(passed) >= 30 and int(deselected) <= len(DESELECTED)
    instants = re.findall(r"instants of our cells in \w+: (\d+)", done.stdout)
    assert len(instants) == 2 and all(int(number) > 0 for number in instants)
