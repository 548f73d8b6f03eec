"""The commands of the recipes are commands: each runs, in miniature, on a text of its own."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from compilation import QUICK

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "examples" / "recipes" / "README.md"
COMMANDS = [
    block.replace("\\\n", " ")
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    if "char_lm.py train" in block
]
# So small that it takes seconds; everything else is as on the page.
SMALLER = {
    **{"--steps": 3, "--warmup": 1, "--report-every": 1, "--save-every": 1},
    **{"--hidden-size": 8, "--embedding-size": 4, "--window": 5, "--length": 5},
}


def in_miniature(command):
    """The arguments of a command, its sizes made small."""
    words = shlex.split(command)
    program = words.index("examples/char_lm.py")
    arguments = words[program + 1 :]
    for flag, size in SMALLER.items():
        if flag in arguments:
            arguments[arguments.index(flag) + 1] = str(size)
        elif flag == "--length":
            arguments += [flag, str(size)]
    return arguments


def test_there_is_one_for_each_split():
    assert [re.search(r"--split (\S+)", command)[1] for command in COMMANDS] == ["90/10", "columns"]


@pytest.mark.parametrize("command", COMMANDS, ids=["90/10", "columns"])
def test_a_recipe_runs(command, tmp_path):
    arguments = in_miniature(command)
    text = tmp_path / arguments[arguments.index("--text") + 1]
    text.write_text("First Citizen:\nBefore we proceed any further, hear me speak.\n\n" * 200)
    (tmp_path / arguments[arguments.index("--out") + 1]).parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "char_lm.py", *arguments],
        cwd=tmp_path,
        env=os.environ | QUICK | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "MixedPrecision" in done.stdout
    assert re.search(r"validation loss on the .*: \d\.\d{4} nats", done.stdout), done.stdout
