"""Draw what run.py measured: a page of Markdown tables, and a picture.

python examples/benchmarks/draw.py --results benchmarks.json
"""

import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import command_line  # noqa: E402, I001 (before all that takes long)
import show  # noqa: E402
from contenders import FOLDS  # noqa: E402
from goals import goals  # noqa: E402
from here import describe  # noqa: E402
from jobs import cores_of  # noqa: E402
from record import Record  # noqa: E402
from report import page  # noqa: E402
from tally import Setting, Table, collect  # noqa: E402

from jaxrnn.errors import InputError  # noqa: E402

# Colour and mark of each contender, in the order in which they stand in a row.
MARKS = {
    "plain": ("#555555", "s"),
    "plain-hoisted": ("#555555", "x"),
    "flax.linen": (show.ORANGE, "o"),
    "flax.nnx": (show.ORANGE, "h"),
    "equinox": (show.GREEN, "^"),
    "haiku": (show.PINK, "d"),
    "keras": (show.SKY, "v"),
    "torch": (show.BLUE, "P"),
    "torch.cells": (show.BLUE, "X"),
    "torch.compile": (show.BLUE, "p"),
    "cudnn": (show.GREEN, "P"),
    "jaxrnn.spread": ("#333333", "*"),
    **{f"jaxrnn.{fold}": ("#333333", mark) for fold, mark in zip(FOLDS, "1234+x_", strict=True)},
}
TITLES = {
    "forward": "forward",
    "backward": "forward + backward",
    "train": "training step",
    "sample-1": "sampling, one stream",
    "sample-64": "sampling, 64 streams",
}
# The weightiest first; which of them have room depends on the numbers. The goals lie at 1.3.
TICKS = (1, 10, 100, 0.1, 1000, 2, 5, 0.5, 20, 1.3, 50, 3, 0.2, 200, 0.75, 0.8, 1.6, 0.9, 1.1)
ROOM = 0.07  # that a tick wants, as a part of the axis
FAR = 2.0  # times what nine of ten stay below: who is slower stands at the edge, with the number
DRAWN = ("backward", "train", "sample-1")


def main(
    *,
    results: Path = Path("benchmarks.json"),
    table: Path | None = None,
    picture: Path | None = None,
) -> None:
    """Draw a file of results.

    Args:
      results: the file.
      table: where the page goes; beside the file, with .md, if not said.
      picture: where the picture goes; beside the file, with .png, if not said.
    """
    record = Record.load(results)
    seen = collect(record)
    if not seen:
        raise InputError(f"'{results}' holds no group yet; let run.py measure one.")
    table, picture = table or results.with_suffix(".md"), picture or results.with_suffix(".png")
    try:
        table.write_text(page(record), "utf-8")
    except OSError as error:
        raise InputError(f"'{table}' cannot be written: {error.strerror}.") from error
    print(*goals(seen), sep="\n")
    print(f"table: {table}")
    draw(picture, seen, describe(record.content["sessions"][-1]["machine"]))


def draw(path: Path, seen: dict[Setting, Table], machine: str) -> None:
    """One panel for each cell and work: the time of every contender, in times of jaxrnn's."""
    directions, cores = min((setting.directions, setting.cores) for setting in seen)
    chosen = {s: t for s, t in seen.items() if (s.directions, s.cores) == (directions, cores)}
    cells = list(dict.fromkeys(setting.cell for setting in chosen))
    measured = dict.fromkeys(setting.work for setting in chosen)
    works = [work for work in measured if work in DRAWN] or list(measured)
    rows = max(len(table) for table in chosen.values())

    def panels(figure):
        grid = figure.subplots(len(cells), len(works), sharex="col", sharey=True, squeeze=False)
        marks = {}
        for work, axes in zip(works, grid.T, strict=True):
            tables = [chosen.get(Setting(directions, cores, cell, work), {}) for cell in cells]
            names, low, high = extent(tables)
            for cell, table, axis in zip(cells, tables, axes, strict=True):
                axis.set(xscale="log", xlim=(low, high), title=f"{cell}: {TITLES[work]}")
                axis.set_xticks(ticks(low, high), minor=False)
                axis.set_xticks([], minor=True)
                axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                marks |= panel(axis, table, names, high)
        names = [name for name in MARKS if name in marks]
        figure.legend(
            [marks[name] for name in names],
            names,
            loc="outside upper left",
            ncols=8 if len(names) <= 8 else 6,
            handletextpad=0.1,
        )
        figure.supxlabel(
            f"how many times as long as jaxrnn, {cores_of(cores)}   ({machine})", size=9
        )

    height = 0.9 + len(cells) * (0.45 + 0.34 * max(3, rows))
    show.picture(path, (1.6 + 3.1 * len(works), height), panels)


def extent(tables: list[Table]) -> tuple[list[str], float, float]:
    """Of one column of panels: who is drawn, and from where to where the axis goes."""
    ratios = {
        name: found
        for name in MARKS
        if (found := [row[name].ratio for t in tables for row in t.values() if ratio_of(row, name)])
    }
    every = sorted([1.0, *(ratio for found in ratios.values() for ratio in found)])
    most = FAR * every[math.ceil(0.9 * (len(every) - 1))]  # of few, all
    high = max(ratio for ratio in every if ratio <= most)
    margin = (high / every[0]) ** 0.06 * 1.03
    return list(ratios), every[0] / margin, high * margin


def ratio_of(row, name: str) -> float | None:
    """Times jaxrnn's, if both were measured."""
    return row[name].ratio if name in row else None


def ticks(low: float, high: float) -> list[float]:
    """Those that lie on the axis and have room."""
    found = []
    for tick in TICKS:
        room = (high / low) ** ROOM
        if low <= tick <= high and all(not 1 / room < tick / other < room for other in found):
            found.append(tick)
    return sorted(found)


def panel(axis, table: Table, names: list[str], high: float) -> dict:
    """Sizes from above, and in the row of each a lane for every contender; returns their marks."""
    sizes, marks = list(table)[::-1], {}
    for place in range(0, len(sizes), 2):
        axis.axhspan(place - 0.5, place + 0.5, color="#F2F2F2", linewidth=0, zorder=-1)
    for lane, name in enumerate(names):
        colour, mark = MARKS[name]
        height = 0.8 * (0.5 - (lane + 0.5) / len(names))
        points = [
            (ratio, place + height)
            for place, size in enumerate(sizes)
            if (ratio := ratio_of(table[size], name))
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            xs = [min(x, high) for x in xs]
            (marks[name],) = axis.plot(xs, ys, mark, color=colour, markersize=5.5, clip_on=False)
        for ratio, y in points:
            if ratio > high:
                axis.annotate(
                    f"{ratio:.0f} ×",
                    (high, y),
                    (-6, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    color=colour,
                    size=8,
                )
    axis.axvline(1, color="#333333", linewidth=1.2, zorder=0)
    axis.grid(color="#888888", alpha=0.4)  # to be seen on the bands too
    axis.set_ylim(-0.5, len(sizes) - 0.5)
    axis.set_yticks(range(len(sizes)), [size.replace("x", " × ") for size in sizes])
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    return marks


if __name__ == "__main__":
    command_line.run(main)
