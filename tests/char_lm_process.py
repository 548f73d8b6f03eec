"""`examples/char_lm.py` in processes of its own, as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

from compilation import QUICK

SCRIPT = Path(__file__).parents[1] / "examples" / "char_lm.py"
SMALL = [
    *("--hidden-size", "16", "--embedding-size", "8", "--layers", "1", "--batch", "4"),
    *("--window", "16", "--steps", "30", "--report-every", "10", "--length", "40"),
]
SETTINGS = {
    "PYTHONPATH": str(SCRIPT.parents[1]),
    "PYTHONWARNINGS": "error",
    "JAX_PLATFORMS": "cpu",
    **QUICK,
}
WRITTEN = "the quick brown fox jumps over the lazy dog\n" * 50


def start(folder, *arguments, **settings):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=folder,
        env=os.environ | SETTINGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **settings,
    )


def run(folder, *arguments):
    process = start(folder, *arguments)
    out, errors = process.communicate(timeout=300)
    # On its first run on a machine matplotlib announces that it builds its font cache.
    lines = [line for line in errors.splitlines(True) if not line.startswith("Matplotlib ")]
    return process.returncode, out, "".join(lines)
