"""A group of contenders on one model: checked first, then timed in turn, one at a time."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
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
            **apart(),
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


def apart(**variables: str) -> dict[str, Any]:
    """How every process begins: with the jaxrnn of this checkout, and out of reach of Ctrl-C.

    A terminal would interrupt them all at once, and each would say so; now we alone hear it, and
    end the others.
    """
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **variables}
    return {"env": os.environ | ours, "start_new_session": True}


class References:
    """Files with the numbers to arrive at; each model's are computed once."""

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def __call__(
        self, model: Model, works: Sequence[str], all_equations: Iterable[Equations]
    ) -> dict[Equations, str]:
        """The file of every set of equations."""
        files = {}
        for equations in all_equations:
            parts = (model.cell, model.size.name, model.directions, *equations, *works)
            files[equations] = self.folder / f"{'-'.join(map(str, parts))}.npz"
        missing = [
            json.dumps((equations, str(file)))
            for equations, file in files.items()
            if not file.exists()
        ]
        if missing:
            arguments = json.dumps(model), json.dumps(works), *missing
            subprocess.run(
                [sys.executable, str(HERE / "reference.py"), *arguments],
                check=True,
                **apart(JAX_PLATFORMS="cpu"),
            )
        return {equations: str(file) for equations, file in files.items()}


def contest(
    group: Group,
    contenders: Sequence[str],
    rounds: int,
    seconds: float,
    references: References,
) -> dict[str, dict[str, dict]]:
    """Every work of every contender: `{work: {contender: what was seen, or why nothing was}}`."""
    found: dict[str, dict[str, dict]] = {work: {} for work in group.works}
    with ExitStack() as stack:
        players, answers = {}, {}
        for name in contenders:
            players[name] = Player(name, group)
            stack.callback(players[name].stop)
            answers[name] = players[name].ask("equations")  # when all is imported
        equations = {
            name: Equations(*answer["equations"])
            for name, answer in answers.items()
            if "skipped" not in answer
        }
        files = references(group.model, group.works, set(equations.values()))
        for name, player in players.items():
            for work in group.works:
                if name in equations:
                    file = files[equations[name]]
                    answer = player.ask("build", work=work, reference=file)
                    found[work][name] = checked(answer, equations[name])
                else:
                    found[work][name] = answers[name]
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
            f"its numbers are off: {answer['differs_most']} differs from the reference by "
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
