"""Kill the training of `examples/char_lm.py` again and again, and see whether anything is lost.

    python tests/kill_training.py --kills 50

For each cell and optimizer a training is run once undisturbed, and once more with SIGKILLs at
random moments, each followed by `--resume`. At the end parameters, optimizer state, carry, metrics
and the text that the model writes must be the same bytes, and nothing unfinished may lie about.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jaxrnn.checkpoint import read_record

SCRIPT = Path(__file__).parents[1] / "examples" / "char_lm.py"
SETTINGS = {
    "PYTHONPATH": str(SCRIPT.parents[1]),
    "PYTHONWARNINGS": "error",
    "PYTHONUNBUFFERED": "1",
    "JAX_PLATFORMS": "cpu",
}
INTERVAL = 20
SMALL = [
    *("--hidden-size", "16", "--embedding-size", "8", "--layers", "1", "--batch", "4"),
    *("--window", "16", "--length", "40", "--text", "fox.txt", "--resume"),
    *("--report-every", str(INTERVAL), "--save-every", str(INTERVAL)),
]
COMBINATIONS = [
    ("--cell", "gru", "--optimizer", "adam"),
    ("--cell", "lstm", "--optimizer", "adamw", "--dropout", "0.2"),
    ("--cell", "elman", "--optimizer", "sgd"),
    ("--cell", "gru", "--optimizer", "rmsprop", "--weight-drop", "0.2"),
    ("--cell", "lstm", "--optimizer", "momentum", "--average", "exponential"),
    ("--cell", "elman", "--optimizer", "adagrad", "--locked-dropout", "0.2"),
]


def start(folder, flags):
    return subprocess.Popen(
        [sys.executable, SCRIPT, "train", *SMALL, *flags],
        cwd=folder,
        env=os.environ | SETTINGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(folder, steps, printed):
    """Everything that a training leaves, in comparable form."""
    checkpoints = folder / "char_lm.checkpoints"
    arrays = read_record(checkpoints / str(steps)).arrays  # the SHA-256 of each
    litter = [path.name for path in checkpoints.iterdir() if not path.name.isdecimal()]
    text = printed.split("throughout)\n")[1]
    return arrays, (folder / "char_lm.metrics.jsonl").read_bytes(), text, litter


def prepare(folder):
    folder.mkdir()
    (folder / "fox.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 50)
    return folder


def undisturbed(folder, flags, steps):
    process = start(prepare(folder), [*flags, "--steps", str(steps)])
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    return outcome(folder, steps, printed)


def killed(folder, flags, steps, kills, chance):
    """Train with kills; return the outcome, how many there were, and what each cost in steps."""
    prepare(folder)
    lost, done, survived = [], 0, None
    while True:
        process = start(folder, [*flags, "--steps", str(steps)])
        lines, reported = [], done
        # Either at a moment after so many reports, or at any, compilation included.
        reports = chance.choice((None, chance.randrange(1, 12)))
        delay = chance.uniform(0, 0.1 if reports else 3)
        for line in process.stdout:
            lines.append(line)
            if line.startswith("going on after step "):
                survived = int(line.split()[-1])
                lost.append(done - survived)
            if line.startswith("step "):
                reported = int(line.split()[1].split("/")[0])
            steps_seen = sum(line.startswith("step ") for line in lines)
            here = line.startswith("training on") if reports is None else steps_seen == reports
            if here and kills:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
        printed = "".join(lines) + process.stdout.read()
        process.stdout.close()
        code = process.wait(timeout=600)
        for line in printed.splitlines():
            if line.startswith("step "):
                reported = max(reported, int(line.split()[1].split("/")[0]))
        done = reported
        if code != -signal.SIGKILL:
            assert code == 0, printed
            return outcome(folder, steps, printed), lost
        kills -= 1


def main(kills, seed, steps):
    chance, total, failures, worst = random.Random(seed), 0, 0, 0
    each = -(-kills // len(COMBINATIONS))
    for flags in COMBINATIONS:
        with tempfile.TemporaryDirectory() as folder:
            whole = undisturbed(Path(folder) / "whole", flags, steps)
            wanted = min(each, kills - total)
            found, lost = killed(Path(folder) / "killed", flags, steps, wanted, chance)
        total += wanted
        worst = max([worst, *lost])
        same = [left == right for left, right in zip(whole, found, strict=True)]
        failures += not all(same)
        print(
            f"{' '.join(flags)}: {wanted} kills; "
            + "; ".join(
                f"{name} {'equal' if equal else 'DIFFERENT'}"
                for name, equal in zip(("state", "metrics", "text", "litter"), same, strict=True)
            )
            + f"; reported steps done again: {lost}",
            flush=True,
        )
    print(f"{total} kills, {failures} trainings of {len(COMBINATIONS)} that differ; ", end="")
    print(f"at most {worst} reported steps ({worst / INTERVAL:.1f} intervals) done again")
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    sys.exit(main(given.kills, given.seed, given.steps))
