"""What a file of results says, as a page of Markdown."""

import statistics
from collections import Counter
from collections.abc import Iterator

from goals import goals
from here import describe
from jobs import WORKS, cores_of, count
from record import Record
from tally import Seen, Setting, Table, collect, contenders_of, markdown, swing

DIRECTION = {1: "One direction", 2: "Both directions"}
SIZE = "batch × time × width × layers"


def page(record: Record) -> str:
    """Everything, as a page of Markdown."""
    tables = collect(record)
    lines = ["# Benchmarks", "", *(f"- {line}" for line in provenance(record)), ""]
    lines += ["## What was to be shown", ""]
    lines += goals(tables)
    for directions, cores in dict.fromkeys((s.directions, s.cores) for s in tables):
        lines += [f"## {DIRECTION[directions]}, {cores_of(cores)}", ""]
        lines += ["Milliseconds, and how many times those of jaxrnn.", ""]
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
        rounds = count(settings["rounds"], "round")
        yield (
            f"{session['begun'][:16].replace('T', ' ')} UTC: {rounds} of "
            f"{settings['seconds']:g} s; {names}{variables}."
        )
    swings = [
        found
        for group in groups(record)
        for contenders in group["works"].values()
        for entry in contenders.values()
        if (found := swing(entry)) is not None
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
    yield from swings_of(table)
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


def swings_of(table: Table) -> Iterator[str]:
    """How far the rounds of one contender lie apart: a difference that is smaller is none."""
    swings = {
        (name, size): found
        for size, row in table.items()
        for name, seen in row.items()
        if (found := swing(seen.entry)) is not None
    }
    if swings:
        name, size = most = max(swings, key=swings.get)
        yield (
            f"Between rounds: {statistics.median(swings.values()):.0%} in the median, "
            f"{swings[most]:.0%} at most ({name}, {size})."
        )
        yield ""


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
