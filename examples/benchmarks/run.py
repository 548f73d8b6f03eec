"""Measure recurrent networks of several libraries, and keep what was seen in a file.

    python examples/benchmarks/run.py --quick
    python examples/benchmarks/run.py
    python examples/benchmarks/run.py --cells LSTM --sizes 16x50x128x2 --works train --cores 1
    python examples/benchmarks/draw.py benchmarks.json

Contenders get the same weights and data, show first that they arrive at the same numbers, and are
then timed in turn, each in a process of its own, never two at once. The file is written after every
group; the same command goes on where the last one ended.
"""

import difflib
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import contest  # noqa: E402
import plan  # noqa: E402
import show  # noqa: E402
from contenders import CONTENDERS  # noqa: E402
from jobs import CELLS, DIRECTIONS, SIZES, WORKS, Size  # noqa: E402
from record import Record, cores_here  # noqa: E402

from jaxrnn.errors import InputError  # noqa: E402

USUAL = ("jaxrnn", "plain", "flax.linen", "flax.nnx", "equinox", "haiku", "keras", "torch")
QUICK = {
    "cells": ("LSTM",),
    "sizes": ("16x50x128x2",),
    "directions": ("uni",),
    "works": ("backward", "train", "sample-1"),
    "cores": ("1",),
    "rounds": 2,
    "seconds": 0.2,
}
BUSY = 0.5


def main(
    *,
    cells: tuple[str, ...] = CELLS,
    sizes: tuple[str, ...] = tuple(SIZES),
    directions: tuple[str, ...] = tuple(DIRECTIONS),
    works: tuple[str, ...] = ("backward", "train", "sample-1", "sample-64"),
    contenders: tuple[str, ...] = USUAL,
    cores: tuple[str, ...] = ("1", "all"),
    rounds: int = 3,
    seconds: float = 0.6,
    minutes: float = 60.0,
    output: Path = Path("benchmarks.json"),
    again: bool = False,
    plan_only: bool = False,
    quick: bool = False,
) -> None:
    """Measure, check and record.

    Args:
      cells: LSTM, GRU, Elman.
      sizes: batch x time x width x layers, any numbers.
      directions: uni, bi.
      works: forward, backward, train, sample-1, sample-64.
      contenders: all of them are listed in contenders/__init__.py; `all` for all.
      cores: numbers, or `all`.
      rounds: how often every contender has its turn.
      seconds: how long a turn lasts, for each work.
      minutes: no group begins that would end later; the same command goes on with the rest.
      output: the file; what it has is kept.
      again: measure anew what the file has; the newest is drawn.
      plan_only: say what would be measured and how long it would take, and end.
      quick: one size, one cell, one core, short turns: does everything work?
    """
    chosen = locals() | (QUICK if quick else {})
    if contenders == ("all",):
        chosen["contenders"] = tuple(CONTENDERS)
    for option, known in (
        ("cells", CELLS),
        ("directions", DIRECTIONS),
        ("works", WORKS),
        ("contenders", CONTENDERS),
    ):
        check_names(option, chosen[option], known)
    for option in ("rounds", "seconds", "minutes"):
        if not chosen[option] > 0:
            raise InputError(f"{option} is {chosen[option]}; give a positive number.")
    names, turns = chosen["contenders"], (chosen["rounds"], chosen["seconds"])
    wanted = plan.groups(
        chosen["cells"],
        list(map(parse_size, chosen["sizes"])),
        [DIRECTIONS[name] for name in chosen["directions"]],
        parse_cores(chosen["cores"]),
        chosen["works"],
    )
    record = Record.load(output) if output.exists() else Record(output)
    left = wanted if again else [record.missing(group, names) for group in wanted]
    left = [group for group in left if group.works]
    costs = [plan.estimate(group, names, *turns) for group in left]
    announce(len(wanted), left, costs, minutes, output)
    if plan_only or not left:
        return
    record.begin(contenders=names, rounds=turns[0], seconds=turns[1])
    record.write()
    wrong = measure(record, left, costs, names, turns, minutes)
    if wrong:
        raise SystemExit("wrong numbers: " + "; ".join(wrong))


def measure(record, left, costs, names, turns, minutes) -> list[str]:
    """Group after group while there is time; returns what was wrong."""
    begun, spent, wrong = time.monotonic(), [], []
    with tempfile.TemporaryDirectory() as folder:
        references = contest.References(folder)
        for number, group in enumerate(left):
            # The first groups tell how much slower or faster this machine is than the plan's.
            pace = sum(spent) / sum(costs[:number]) if spent else 1.0
            if spent and sum(spent) + pace * costs[number] > 60 * minutes:
                print(f"{minutes:g} minutes are over; the same command goes on with the rest.")
                break
            rest = pace * sum(costs[number:]) / 60
            print(f"\n{group.name}   ({number + 1} of {len(left)}, {rest:.0f} minutes to go)")
            load = os.getloadavg()[0]
            works = contest.contest(group, names, *turns, references)
            record.add(group, works, load)
            spent.append(time.monotonic() - begun - sum(spent))
            for work, seen in works.items():
                print(f"  {work:9}", *itertools.starmap(line, seen.items()), sep="  ", flush=True)
                wrong += [
                    f"{name} in {work} of {group.name}: {entry['skipped']}"
                    for name, entry in seen.items()
                    if entry.get("wrong")
                ]
    print(f"\n{record.path} holds {len(record.content['groups'])} groups; draw them with draw.py.")
    return wrong


def line(name: str, entry: dict) -> str:
    """The median of a contender."""
    if "skipped" in entry:
        return f"{name} -"
    return f"{name} {statistics.median(entry['median_ms']):.4g}"


def announce(total, left, costs, minutes, output) -> None:
    """How much there is to do, and whether this is a good moment."""
    whole = sum(costs) / 60
    kept = f", {total - len(left)} of which {output} has" if total > len(left) else ""
    print(f"{total} groups{kept}; {len(left)} to measure, about {whole:.0f} minutes", end="")
    print(f", of which {minutes:g} are given." if whole > minutes else ".")
    load = os.getloadavg()[0]
    if left and load > BUSY:
        print(f"The machine is busy (load {load:.1f}): the times will swing.")


def check_names(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError unless every name is known."""
    if not given:
        raise InputError(f"{option} is empty; give one or more of {', '.join(known)}.")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}."
            raise InputError(f"{option}: '{name}' is not known; {hint}")


def parse_size(text: str) -> Size:
    """16x50x128x2 as a size."""
    parts = text.split("x")
    if len(parts) != 4 or not all(
        part.isascii() and part.isdigit() and int(part) for part in parts
    ):
        raise InputError(
            f"sizes: '{text}' is none; give batch, time, width and layers, such as 16x50x128x2."
        )
    return Size(*map(int, text.split("x")))


def parse_cores(given: Sequence[str]) -> list[int]:
    """Numbers of cores, each once."""
    found, here = set(), cores_here()
    for text in given:
        if text == "all":
            found.add(here)
        elif not (text.isascii() and text.isdigit() and 0 < int(text) <= here):
            raise InputError(f"cores: '{text}' is none of 1 to {here}, nor 'all'.")
        elif int(text) < here and sys.platform != "linux":
            raise InputError("cores: only Linux can confine a process to some; give 'all'.")
        else:
            found.add(int(text))
    return sorted(found)


if __name__ == "__main__":
    show.run(main)
