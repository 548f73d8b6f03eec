"""What is measured in which order, and about how long that takes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jobs import CHARACTERS, STREAMS, Model, Size, cores_of

# Seconds that one core of an AMD EPYC was seen to take.
START = {"torch": 2.5, "torch.cells": 2.5, "torch.compile": 2.5, "keras": 3.5}
START_OF_OTHERS = 2.0
COMPILATION = {"forward": 0.5, "backward": 1.0, "train": 2.2, "sample-1": 1.5, "sample-64": 1.5}
REFERENCE = 7.0
MULTIPLICATION = 1 / 3e10
INSTANT = 5e-6  # of a layer, beside its products
INSTANT_OF_TORCH = 3e-4  # of a layer, in its loop that samples
SAMPLERS = ("jaxrnn", "plain", "torch", "torch.cells")


class Group(NamedTuple):
    """What is measured together: the contenders alternate on it."""

    model: Model
    cores: int
    works: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people."""
        both = "" if self.model.directions == 1 else ", both directions"
        return f"{self.model.cell} {self.model.size.name}{both}, {cores_of(self.cores)}"


def groups(
    cells: Iterable[str],
    sizes: Iterable[Size],
    directions: Iterable[int],
    cores: Iterable[int],
    works: tuple[str, ...],
) -> list[Group]:
    """All groups, those first that say most: who is interrupted has them."""
    # A network that looks ahead has no next character.
    works_of = {1: works, 2: tuple(work for work in works if work not in STREAMS)}
    found = [
        Group(Model(cell, size, ways), number, works_of[ways])
        for size in sizes
        for cell in cells
        for ways in directions
        for number in cores
        if works_of[ways]
    ]
    few = min((group.cores for group in found), default=1)

    def rank(group: Group) -> int:
        later = 2 * (group.model.cell == "Elman") + 2 * (group.model.directions == 2)
        return later + (group.cores != few)

    return sorted(found, key=rank)


def estimate(group: Group, contenders: Sequence[str], rounds: int, seconds: float) -> float:
    """Seconds that a group takes, roughly; a run corrects it as it goes."""
    total = REFERENCE
    for name in contenders:
        total += START.get(name, START_OF_OTHERS)
        for work in group.works:
            if work in STREAMS and name not in SAMPLERS:
                continue
            if name == "torch.cells" and work not in STREAMS:
                continue
            eager = name in ("torch", "torch.cells")
            run = seconds_of_a_run(group.model, work, eager)
            build = 0 if eager else COMPILATION[work]
            total += build + 4 * run + rounds * max(seconds, 3 * run)
    return total


def seconds_of_a_run(model: Model, work: str, eager: bool) -> float:
    """By the numbers that are multiplied, and by how often the loop goes round."""
    batch, time, width, layers = model.size
    if work in STREAMS:
        batch, time = STREAMS[work], CHARACTERS
    instants = time * layers * model.directions
    multiplications = batch * instants * model.gates * width * 2 * width
    more = 3 if work in ("backward", "train") else 1
    instant = INSTANT_OF_TORCH if eager and work in STREAMS else INSTANT
    return more * (multiplications * MULTIPLICATION + instants * instant)
