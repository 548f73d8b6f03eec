"""A group of contenders on one model: checked first, then timed in turn, one at a time."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jobs import Equations, Model
from plan import Group

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # in float32, of gradients summed over a thousand instants too
PATIENCE = 900.0  # seconds for one answer


class Player:
    """A contender in a process of its own. It computes only between a question and its answer."""

    def __init__(self, name: str, group: Group):
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        arguments = json.dumps(name), json.dumps(group.model), json.dumps(group.cores)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "measure.py"), *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ask(self, question: str, **details: Any) -> dict:
        """The answer; if there is none, why not."""
        try:
            print(json.dumps({"ask": question, **details}), file=self.process.stdin, flush=True)
        except OSError:  # It has ended; what it says last is on its log.
            return {"skipped": self.last_words()}
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            return {"skipped": f"it took longer than {PATIENCE:.0f} seconds."}
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"skipped": self.last_words()}

    def last_words(self) -> str:
        """Of a process that ended on its own."""
        status = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().strip().splitlines() or ["(silence)"]
        return f"its process ended with status {status}: {lines[-1][:200]}"

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.log.close()


def environment() -> dict[str, str]:
    """Of every process alike: the jaxrnn of this checkout comes first."""
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


@contextmanager
def references() -> Iterator[Callable[..., str]]:
    """Files with the numbers to arrive at, computed once for every model and set of equations."""
    with tempfile.TemporaryDirectory() as folder:

        def file_of(model: Model, equations: list, works: Sequence[str]) -> str:
            arguments = list(map(json.dumps, (model, equations, works)))
            path = Path(folder) / f"{'-'.join(arguments)}.npz".replace("/", "")
            if not path.exists():
                subprocess.run(
                    [sys.executable, str(HERE / "reference.py"), *arguments, str(path)],
                    env=environment() | {"JAX_PLATFORMS": "cpu"},
                    check=True,
                )
            return str(path)

        yield file_of


def contest(
    group: Group,
    contenders: Sequence[str],
    rounds: int,
    seconds: float,
    reference_of: Callable[..., str],
) -> dict[str, dict[str, dict]]:
    """Every work of every contender: `{work: {contender: what was seen, or why nothing was}}`."""
    found: dict[str, dict[str, dict]] = {work: {} for work in group.works}
    with ExitStack() as stack:
        players = {}
        for name in contenders:
            player = players[name] = Player(name, group)
            stack.callback(player.stop)
            answer = player.ask("equations")
            for work in group.works:
                found[work][name] = answer
                if "skipped" not in answer:
                    file = reference_of(group.model, answer["equations"], group.works)
                    built = player.ask("build", work=work, reference=file)
                    found[work][name] = checked(built, Equations(*answer["equations"]))
        for number in range(rounds):
            for work, seen in found.items():
                ready = [name for name, entry in seen.items() if "skipped" not in entry]
                # Nobody comes first, after whatever the machine did before, more often than others.
                for name in rotated(ready, number):
                    add(seen[name], players[name].ask("time", work=work, seconds=seconds))
    return found


def rotated(names: list[str], places: int) -> list[str]:
    """The same order, beginning elsewhere."""
    places %= max(1, len(names))
    return names[places:] + names[:places]


def checked(answer: dict, equations: Equations) -> dict:
    """The answer to `build`, if its numbers are those of the reference."""
    if "skipped" in answer:
        return answer
    if equations.note:
        answer["note"] = equations.note
    if not answer["difference"] <= TOLERANCE:  # nor not-a-number
        answer["skipped"] = (
            f"its numbers are wrong: {answer['differs_most']} differs from the reference by "
            f"{answer['difference']:.1e}, and {TOLERANCE:.0e} is allowed."
        )
        answer["wrong"] = True
    return answer


def add(entry: dict, answer: dict) -> None:
    """One more round of a contender."""
    if "skipped" in answer:
        entry["skipped"] = answer["skipped"]
        return
    for name, value in answer.items():
        entry.setdefault(name, []).append(value)
