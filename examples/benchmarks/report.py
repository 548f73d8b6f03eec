"""What a file of results says, as Markdown: times, ratios to jaxrnn, and what was to be shown."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from here import describe
from jobs import CELLS, SIZES, WORKS, Size
from record import Record

PEERS = ("flax.linen", "flax.nnx", "equinox", "haiku", "keras")
OURS = "jaxrnn"
SIZE = "batch × time × width × layers"


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


def cores_of(number: int) -> str:
    """1 core, 2 cores."""
    return "1 core" if number == 1 else f"{number} cores"


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


def page(record: Record) -> str:
    """Everything, as a page of Markdown."""
    tables = collect(record)
    lines = ["# Benchmarks", "", *provenance(record), "", "## What was to be shown", ""]
    lines += goals(tables)
    for directions, cores in dict.fromkeys((s.directions, s.cores) for s in tables):
        both = "one direction" if directions == 1 else "both directions"
        lines += [f"## {both}, {cores_of(cores)}".replace("## o", "## O").replace("## b", "## B")]
        lines += ["", "Milliseconds, and how many times those of jaxrnn.", ""]
        for setting, table in tables.items():
            if (setting.directions, setting.cores) == (directions, cores):
                lines += times(setting, table)
    return "\n".join([*lines, *programs(tables)]).rstrip() + "\n"


def provenance(record: Record) -> Iterator[str]:
    """Machine, versions, dates, and how far the rounds swing."""
    sessions = [
        record.content["sessions"][n] for n in sorted({g["session"] for g in groups(record)})
    ]
    if not sessions:
        yield "No group has been measured yet."
        return
    yield f"{describe(sessions[-1]['machine'])}; float32."
    for session in sessions:
        names = ", ".join(f"{name} {version}" for name, version in session["versions"].items())
        settings = session["settings"]
        variables = "".join(f", {name}={value}" for name, value in session["environment"].items())
        yield (
            f"{session['begun'][:16].replace('T', ' ')} UTC: {settings['rounds']} rounds of "
            f"{settings['seconds']:g} s; {names}{variables}."
        )
    swings = [
        (max(times) - min(times)) / statistics.median(times)
        for group in groups(record)
        for contenders in group["works"].values()
        for entry in contenders.values()
        if "skipped" not in entry and len(times := entry["median_ms"]) > 1
    ]
    if swings:
        middle, tenth = middle_and_tenth(swings)
        yield (
            f"The rounds of one contender lie {middle:.0%} apart in the median, {tenth:.0%} and "
            "more in the worst tenth."
        )
    others = [group["others"] for group in groups(record) if group["others"] is not None]
    if others:
        middle, tenth = middle_and_tenth(others)
        yield (
            f"Others used {middle:.2f} cores meanwhile in the median over groups, {tenth:.2f} and "
            "more in the worst tenth."
        )


def middle_and_tenth(numbers: list[float]) -> tuple[float, float]:
    """The median, and where the highest tenth begins."""
    ordered = sorted(numbers)
    return statistics.median(ordered), ordered[int(0.9 * len(ordered))]


def groups(record: Record) -> list[dict]:
    """As they are in the file."""
    return record.content["groups"]


def times(setting: Setting, table: Table) -> Iterator[str]:
    """A table of one cell and one work."""
    names = contenders_of(table)
    notes = {
        name: note
        for row in table.values()
        for name, seen in row.items()
        if (note := seen.entry.get("note"))
    }

    def cell(seen: Seen | None) -> str:
        if seen is None or seen.ms is None:
            return "–"
        return f"{seen.ms:.3g}" + (
            f" ({seen.ratio:.2f}×)" if seen.ratio and seen.ratio != 1 else ""
        )

    yield f"### {setting.cell}: {setting.work}"
    yield ""
    yield f"{WORKS[setting.work][0].upper()}{WORKS[setting.work][1:]}."
    yield ""
    header = [f"{name} †" if name in notes else name for name in names]
    yield from markdown(
        [SIZE, *header],
        ([size, *(cell(row.get(name)) for name in names)] for size, row in table.items()),
    )
    for note in dict.fromkeys(notes.values()):
        yield f"† {', '.join(name for name in notes if notes[name] == note)}: {note}."
    why = {}
    for size, row in table.items():
        for name, seen in row.items():
            if sentence := seen.entry.get("skipped"):
                why.setdefault((sentence, name), []).append(size)
    reasons = {}
    for (sentence, name), sizes in why.items():
        where = "" if len(sizes) == len(table) else f" ({', '.join(sizes)})"
        reasons.setdefault(sentence, []).append(name + where)
    for sentence, who in reasons.items():
        yield f"Without {', '.join(who)}: {sentence}"
    yield ""


class Goal(NamedTuple):
    """A ratio that was to be reached: in the median over sizes, and at each."""

    what: str
    work: str
    rivals: tuple[str, ...]
    median: float | None
    worst: float | None
    applies: Callable[[Size], bool] = lambda size: True
    one_core: bool = False


GOALS = (
    Goal("the fastest of flax, equinox, haiku, keras", "train", PEERS, 1.3, 1.0),
    Goal("plain scan, width ≥ 128", "backward", ("plain",), None, 1.3, lambda s: s.width >= 128),
    *(
        goal
        for work in ("forward", "backward", "train")
        for goal in (
            Goal("torch, batch 1", work, ("torch",), None, 1.0, lambda s: s.batch == 1, True),
            Goal("torch, else", work, ("torch",), None, 1 / 1.35, lambda s: s.batch > 1, True),
        )
    ),
    Goal("torch", "sample-1", ("torch",), None, 10.0),
    Goal("torch", "sample-64", ("torch",), None, None),
)


def goals(tables: dict[Setting, Table]) -> Iterator[str]:
    """For each goal, cell and setting: how many times faster jaxrnn is, and whether it suffices."""
    rows = []
    for goal in GOALS:
        for setting, table in tables.items():
            if setting.work != goal.work or (goal.one_core and setting.cores != 1):
                continue
            ratios = ratios_of(goal, table)
            if not ratios:
                continue
            middle, (where, worst) = statistics.median(ratios.values()), lowest(ratios)
            wanted = [
                f"{name} ≥ {bound:.2f}"
                for name, bound in (("median", goal.median), ("each", goal.worst))
                if bound and setting.cell != "Elman"
            ]
            enough = middle >= (goal.median or 0) and worst >= (goal.worst or 0)
            rows.append(
                [
                    f"{setting.name} against {goal.what}",
                    f"{middle:.2f}",
                    f"{worst:.2f} ({where})",
                    f"{len(ratios)}",
                    " and ".join(wanted) or "–",
                    ("yes" if enough else "**no**") if wanted else "–",
                ]
            )
    yield "How many times faster jaxrnn is, over sizes."
    yield ""
    yield from markdown(["", "median", "worst", "sizes", "goal", "met"], rows)


def ratios_of(goal: Goal, table: Table) -> dict[str, float]:
    """By size, against the fastest of the rivals."""
    found = {}
    for size, row in table.items():
        seen = [row[name].ratio for name in goal.rivals if name in row and row[name].ratio]
        if seen and goal.applies(Size(*map(int, size.split("x")))):
            found[size] = min(seen)
    return found


def lowest(ratios: dict[str, float]) -> tuple[str, float]:
    """Where, and how much."""
    return min(ratios.items(), key=lambda item: item[1])


def programs(tables: dict[Setting, Table]) -> Iterator[str]:
    """What hardly swings, at the fewest cores."""
    yield "## What XLA made of it"
    yield ""
    yield (
        "Of each loop in the compiled program: the instructions in its body, and how many of them "
        "are products. Peak temporary megabytes. Seconds to the first result, with tracing and "
        "compiling."
    )
    yield ""
    few = min((setting.cores for setting in tables), default=1)
    for setting, table in tables.items():
        names = [name for name in contenders_of(table) if any_program(table, name)]
        if setting.cores == few and names:
            for title, described in (
                ("instructions (products)", loops),
                ("temporary MB", megabytes),
                ("first result, s", first_result),
            ):
                yield f"**{setting.name}**: {title}"
                yield ""
                yield from markdown(
                    [SIZE, *names],
                    (
                        [
                            size,
                            *(described(row[name].entry) if name in row else "–" for name in names),
                        ]
                        for size, row in table.items()
                    ),
                )


def any_program(table: Table, name: str) -> bool:
    """Whether XLA compiled it."""
    return any(name in row and "loops" in row[name].entry for row in table.values())


def loops(entry: dict) -> str:
    """Loops alike are written once, with their number before them."""
    if "loops" not in entry:
        return "–"
    found = Counter(f"{loop['instructions']} ({loop['products']})" for loop in entry["loops"])
    written = [text if count == 1 else f"{count} · {text}" for text, count in found.items()]
    return " + ".join(written) or "no loop"


def megabytes(entry: dict) -> str:
    """Of temporary memory."""
    found = entry.get("temporary_bytes")
    return "–" if found is None else f"{found / 1e6:.3g}"


def first_result(entry: dict) -> str:
    """Seconds."""
    return f"{entry['build_s'] + entry['first_s']:.1f}" if "first_s" in entry else "–"
