"""Draw what run.py measured: a page of Markdown tables, and a picture.

python examples/benchmarks/draw.py --results benchmarks.json
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import show  # noqa: E402
from contenders import FOLDS  # noqa: E402
from goals import goals  # noqa: E402
from here import describe  # noqa: E402
from jobs import cores_of  # noqa: E402
from record import Record  # noqa: E402
from report import page  # noqa: E402
from tally import Setting, Table, collect  # noqa: E402

from jaxrnn.errors import InputError  # noqa: E402

# Colour and mark of each contender.
MARKS = {
    "plain": (show.GREY, "|"),
    "plain-hoisted": (show.GREY, "x"),
    "flax.linen": (show.ORANGE, "o"),
    "flax.nnx": (show.ORANGE, "s"),
    "equinox": (show.GREEN, "^"),
    "haiku": (show.PINK, "D"),
    "keras": (show.SKY, "v"),
    "torch": (show.BLUE, "*"),
    "torch.compile": (show.BLUE, "P"),
    "cudnn": (show.GREEN, "P"),
    **{f"jaxrnn.{fold}": ("#333333", mark) for fold, mark in zip(FOLDS, "1234+x_", strict=True)},
}
TITLES = {
    "forward": "forward",
    "backward": "forward + backward",
    "train": "training step",
    "sample-1": "sampling, one stream",
    "sample-64": "sampling, 64 streams",
}
TICKS = (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10)
FAR = (0.01, 0.1, 1, 10, 100, 1000)  # ticks where the former would touch
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
        for cell, axes in zip(cells, grid, strict=True):
            for work, axis in zip(works, axes, strict=True):
                table = chosen.get(Setting(directions, cores, cell, work), {})
                panel(axis, table, f"{cell}: {TITLES[work]}")
                marks |= {
                    line.get_label(): line for line in axis.lines if line.get_label() in MARKS
                }
        for axis in grid[-1]:
            low, high = axis.get_xlim()
            ticks = FAR if high > 15 * low else TICKS
            axis.set_xticks([tick for tick in ticks if low <= tick <= high])
            axis.set_xticks([], minor=True)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        names = [name for name in MARKS if name in marks]
        lines = [marks[name] for name in names]
        figure.legend(
            lines,
            names,
            loc="outside upper left",
            ncols=8 if len(names) <= 8 else 6,
            handletextpad=0.1,
        )
        figure.supxlabel(
            f"how many times as long as jaxrnn, {cores_of(cores)}   ({machine})", size=9
        )

    height = 0.9 + len(cells) * (0.45 + 0.2 * max(3, rows))
    show.picture(path, (1.6 + 2.7 * len(works), height), panels)


def panel(axis, table: Table, title: str) -> None:
    """Sizes from above, and a mark for everyone who was measured."""
    sizes = list(table)[::-1]
    for name, (colour, mark) in MARKS.items():
        points = [
            (table[size][name].ratio, place)
            for place, size in enumerate(sizes)
            if name in table[size] and table[size][name].ratio
        ]
        if points:
            axis.plot(*zip(*points, strict=True), mark, color=colour, label=name, alpha=0.85)
    axis.axvline(1, color="#333333", linewidth=1.2, zorder=0)
    axis.set(xscale="log", title=title, ylim=(-0.6, len(sizes) - 0.4))
    axis.set_yticks(range(len(sizes)), [size.replace("x", " × ") for size in sizes])


if __name__ == "__main__":
    show.run(main)
