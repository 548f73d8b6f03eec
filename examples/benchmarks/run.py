"""Measure recurrent networks of several libraries, and keep what was seen in a file.

    python examples/benchmarks/run.py --quick
    python examples/benchmarks/run.py
    python examples/benchmarks/run.py --cells LSTM --sizes 16x50x128x2 --works train --cores 1
    python examples/benchmarks/draw.py

Contenders get the same weights and data, show first that they arrive at the same numbers, and are
then timed in turn, each in a process of its own, never two at once. The file is written after every
group; the same command goes on where the last one ended.
"""

import difflib
import itertools
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import command_line  # noqa: E402, I001 (before all that takes long)
import contest  # noqa: E402
import here  # noqa: E402
import plan  # noqa: E402
from contenders import CONTENDERS  # noqa: E402
from jobs import CELLS, DIRECTIONS, SIZES, WORKS, Size, count  # noqa: E402
from record import Record  # noqa: E402

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
    "output": Path("quick.json"),
}
BUSY = 0.1  # cores that others use


def main(
    *,
    cells: tuple[str, ...] = CELLS,
    sizes: tuple[str, ...] = tuple(SIZES),
    directions: tuple[str, ...] = tuple(DIRECTIONS),
    works: tuple[str, ...] = ("backward", "train", "sample-1", "sample-64"),
    contenders: tuple[str, ...] = USUAL,
    cores: tuple[str, ...] = ("1", "all"),
    rounds: int = 3,
    seconds: float = 0.5,
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
      quick: one size, one cell, one core, short turns, a file of its own, unless said otherwise:
        does everything work?
    """
    given = {name: value for name, value in locals().items() if name in main.__kwdefaults__}
    if quick:
        given |= {k: v for k, v in QUICK.items() if given[k] == main.__kwdefaults__[k]}
    groups, names = chosen(**given)
    turns, output = (given["rounds"], given["seconds"]), given["output"]
    record = Record.load(output) if output.exists() else Record(output)
    left = groups if again or quick else [record.missing(g, names, *turns) for g in groups]
    left = [group for group in left if group.works]
    costs = [plan.estimate(group, names, *turns) for group in left]
    announce(record, len(groups), len(left), sum(costs) / 60, minutes)
    if plan_only or not left:
        return
    record.begin(contenders=names, rounds=turns[0], seconds=turns[1])
    record.write()
    if wrong := measure(record, left, costs, names, turns, minutes):
        raise SystemExit("wrong numbers: " + "; ".join(wrong))


def chosen(
    *, cells, sizes, directions, works, contenders, cores, **numbers
) -> tuple[list[plan.Group], tuple[str, ...]]:
    """The groups and the contenders that are asked for; raises InputError where there are none."""
    if contenders == ("all",):
        contenders = tuple(CONTENDERS)
    check_names("cells", cells, CELLS)
    check_names("directions", directions, DIRECTIONS)
    check_names("works", works, WORKS)
    check_names("contenders", contenders, CONTENDERS)
    for option, given in (("sizes", sizes), ("cores", cores)):
        if not given:
            raise InputError(f"{option} is empty; give one or more.")
    for option in ("rounds", "seconds", "minutes"):
        if not numbers[option] > 0:
            raise InputError(f"{option} is {numbers[option]}; give a positive number.")
    groups = plan.groups(
        dict.fromkeys(cells),
        dict.fromkeys(map(parse_size, sizes)),
        [DIRECTIONS[name] for name in dict.fromkeys(directions)],
        parse_cores(cores),
        tuple(dict.fromkeys(works)),
    )
    if not groups:
        raise InputError("works: what reads in both directions cannot sample; add 'uni' or works.")
    return groups, tuple(dict.fromkeys(contenders))


def measure(
    record: Record,
    left: Sequence[plan.Group],
    costs: Sequence[float],
    names: Sequence[str],
    turns: tuple[int, float],
    minutes: float,
) -> list[str]:
    """Group after group while there is time; returns what was wrong."""
    sys.stdout.reconfigure(line_buffering=True)  # for who looks at it in a file
    begun, wrong, told = time.monotonic(), [], set()
    with tempfile.TemporaryDirectory() as folder:
        references = contest.References(folder)
        for number, group in enumerate(left):
            elapsed = time.monotonic() - begun
            # What is done tells how much slower or faster this machine is than the plan's.
            pace = elapsed / sum(costs[:number]) if number else 1.0
            if number and elapsed + pace * costs[number] > 60 * minutes:
                given = count(minutes, "minute is", "minutes are")
                print(f"\n{given} over; the same command goes on with the rest.")
                break
            rest = pace * sum(costs[number:]) / 60
            place = f"{number + 1} of {len(left)}, {about(rest)} to go"
            print(f"\n{group.name}   ({place})")
            meter = here.Meter()
            works = contest.contest(group, names, *turns, references)
            others = meter.others()
            record.add(group, works, others)
            for work, seen in works.items():
                print(f"  {work:9}", *itertools.starmap(line, seen.items()), sep="  ")
                wrong += [
                    f"{name} in {work} of {group.name}: {entry['skipped']}"
                    for name, entry in seen.items()
                    if entry.get("wrong")
                ]
            for sentence, who in absent(works).items():
                if new := [name for name in who if (name, sentence) not in told]:
                    print(f"  Without {', '.join(new)}: {sentence}")
                    told |= {(name, sentence) for name in new}
            if others and others > BUSY:
                print(f"  Others used {others:.1f} cores meanwhile: the times swing.")
    held = count(len(record.content["groups"]), "group")
    print(f"\n{record.path} holds {held}. Now: draw.py --results {shlex.quote(str(record.path))}")
    return wrong


def absent(works: dict[str, dict[str, dict]]) -> dict[str, list[str]]:
    """Who did not take part, by the sentence that says why."""
    found: dict[str, dict[str, None]] = {}
    for seen in works.values():
        for name, entry in seen.items():
            if "skipped" in entry:
                found.setdefault(entry["skipped"], {})[name] = None
    return {sentence: list(names) for sentence, names in found.items()}


def line(name: str, entry: dict) -> str:
    """The median of a contender."""
    if "skipped" in entry:
        return f"{name} -"
    return f"{name} {statistics.median(entry['median_ms']):.4g}"


def announce(record: Record, total: int, left: int, whole: float, minutes: float) -> None:
    """How much there is to do, in minutes."""
    kept = f"; {record.path} has {total - left} of them" if left < total else ""
    short = f", and {minutes:g} are given" if whole > minutes else ""
    long = f", {about(whole)}{short}" if left else ""
    print(f"{count(total, 'group')}{kept}; {left} to measure{long}.")
    if left < total:
        then, now = record.content["sessions"][-1]["versions"], here.versions()
        names = [name for name in now if now[name] != then.get(name)]
        changes = ", ".join(f"{name} {then.get(name)} → {now[name]}" for name in names)
        if changes:
            print(f"Since then: {changes}; --again measures all groups anew.")


def about(minutes: float) -> str:
    """Whole minutes, of what is not known better."""
    return f"about {count(max(1, round(minutes)), 'minute')}"


def check_names(option: str, given: Sequence[str], known: Iterable[str]) -> None:
    """Raise InputError unless there are names, and all are known."""
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
    return Size(*map(int, parts))


def parse_cores(given: Sequence[str]) -> list[int]:
    """Numbers of cores, each once."""
    found, every = set(), here.cores()
    for text in given:
        plain = text.isascii() and text.isdigit()
        number = every if text == "all" else int(text) if plain else 0
        if not 0 < number <= every:
            raise InputError(f"cores: '{text}' is none of 1 to {every}, nor 'all'.")
        found.add(number)
    if found != {every} and sys.platform != "linux":
        raise InputError("cores: only Linux can confine a process to some; give 'all'.")
    return sorted(found)


if __name__ == "__main__":
    command_line.run_tidily(main)
