"""What is measured in which order, and about how long that takes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jobs import CHARACTERS, STREAMS, Model, Size

# Seconds and operations per second of one core, as two cores of an AMD EPYC were seen to take.
START = {"torch": 2.5, "torch.compile": 2.5, "keras": 3.5}
START_OF_OTHERS = 2.0
COMPILATION = {"forward": 0.4, "backward": 1.0, "train": 1.9, "sample-1": 1.3, "sample-64": 1.3}
REFERENCE = 5.0
RATE = 1.2e10
INSTANT_OF_TORCH = 3e-4  # of its loop that samples
SAMPLERS = ("jaxrnn", "plain", "torch")


class Group(NamedTuple):
    """What is measured together: the contenders alternate on it."""

    model: Model
    cores: int
    works: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people."""
        both = "" if self.model.directions == 1 else ", both directions"
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{self.model.cell} {self.model.size.name}{both}, {cores}"


def groups(
    cells: Iterable[str],
    sizes: Sequence[Size],
    directions: Iterable[int],
    cores: Iterable[int],
    works: Sequence[str],
) -> list[Group]:
    """All groups, those first that say most: who is interrupted has them."""
    found = [
        Group(Model(cell, size, ways), number, tuple(works))
        for size in sizes
        for cell in cells
        for ways in directions
        for number in sorted(cores)
    ]
    few = min((group.cores for group in found), default=1)

    def rank(group: Group) -> int:
        later = 2 * (group.model.cell == "Elman") + 2 * (group.model.directions == 2)
        return later + (group.cores != few)

    return sorted(found, key=rank)


def estimate(group: Group, contenders: Sequence[str], rounds: int, seconds: float) -> float:
    """Seconds that a group takes, roughly; a run corrects it as it goes."""
    depth = group.model.size.layers * group.model.directions
    total = REFERENCE + sum(START.get(name, START_OF_OTHERS) for name in contenders)
    for name in contenders:
        for work in group.works:
            if work in STREAMS and (name not in SAMPLERS or group.model.directions == 2):
                continue
            run = seconds_of_a_run(group.model, work)
            if work in STREAMS and name == "torch":
                run += CHARACTERS * group.model.size.layers * INSTANT_OF_TORCH
            if name != "torch":
                total += COMPILATION[work] * (1 + depth) / 2
            total += 4 * run + rounds * max(seconds, 3 * run)
    return total


def seconds_of_a_run(model: Model, work: str) -> float:
    """By its products alone."""
    batch, time, width, layers = model.size
    if work in STREAMS:
        batch, time = STREAMS[work], CHARACTERS
    operations = 2 * batch * time * layers * model.directions * model.gates * width * 2 * width
    return operations * {"backward": 3.5, "train": 3.5}.get(work, 1) / RATE
