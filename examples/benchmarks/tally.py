"""What a file of results holds, by setting, size and contender, with ratios to jaxrnn."""

import statistics
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jobs import CELLS, SIZES, WORKS, cores_of
from record import Record

OURS = "jaxrnn"


class Seen(NamedTuple):
    """What one contender did: milliseconds, times jaxrnn's, its entry in the file."""

    ms: float | None
    ratio: float | None
    entry: dict


Table = dict[str, dict[str, Seen]]  # by size and contender


class Setting(NamedTuple):
    """What a table is about."""

    directions: int
    cores: int
    cell: str
    work: str

    @property
    def name(self) -> str:
        """For people."""
        both = "" if self.directions == 1 else ", both directions"
        return f"{self.cell}{both}, {self.work}, {cores_of(self.cores)}"


def collect(record: Record) -> dict[Setting, Table]:
    """All that is known. A ratio is always one of two medians of the same group, never across."""
    found: dict[Setting, Table] = {}
    for group in record.content["groups"]:  # The newest come last, and replace the older.
        for work, contenders in group["works"].items():
            setting = Setting(group["directions"], group["cores"], group["cell"], work)
            table = found.setdefault(setting, {})
            ours = median(contenders.get(OURS, {}))
            row = table.setdefault(group["size"], {})
            for name, entry in contenders.items():
                ms = median(entry)
                row[name] = Seen(ms, ms / ours if ms and ours else None, entry)
    order = list(SIZES)

    def place(size: str) -> tuple:
        return order.index(size) if size in order else len(order), size

    return {
        setting: {size: found[setting][size] for size in sorted(found[setting], key=place)}
        for setting in sorted(
            found,
            key=lambda s: (s.directions, s.cores, CELLS.index(s.cell), list(WORKS).index(s.work)),
        )
    }


def median(entry: dict) -> float | None:
    """Of the rounds' medians; None for who did not take part."""
    return None if "skipped" in entry or not entry else statistics.median(entry["median_ms"])


def swing(entry: dict) -> float | None:
    """How far the rounds lie apart, as a part of their median; None for who had not two."""
    if "skipped" in entry or len(times := entry["median_ms"]) < 2:
        return None
    return (max(times) - min(times)) / statistics.median(times)


def contenders_of(table: Table) -> list[str]:
    """Those with at least one time, jaxrnn first."""
    names = dict.fromkeys(name for row in table.values() for name, seen in row.items() if seen.ms)
    return sorted(names, key=lambda name: name != OURS)


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table: the first column to the left, numbers to the right."""
    header = list(header)
    yield "| " + " | ".join(header) + " |"
    yield "|" + "|".join(["---"] + ["--:"] * (len(header) - 1)) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
