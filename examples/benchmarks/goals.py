"""What jaxrnn promises, as ratios to its rivals, and whether it keeps it."""

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobs import Size
from tally import Setting, Table, markdown

LOOPS_OF_TORCH = ("torch", "torch.cells")
PEERS = ("flax.linen", "flax.nnx", "equinox", "haiku", "keras")


class Goal(NamedTuple):
    """A ratio that was to be reached: in the median over sizes, and at each.

    It is shown where nothing was promised as well: of Elman cells, and, of some, on many cores.
    """

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
    Goal("torch's fastest loop", "sample-1", LOOPS_OF_TORCH, None, 10.0),
    Goal("torch's fastest loop", "sample-64", LOOPS_OF_TORCH, None, None),
)


def goals(tables: dict[Setting, Table]) -> Iterator[str]:
    """For each goal, cell and setting: how many times faster jaxrnn is, and whether it suffices."""
    rows = []
    for goal in GOALS:
        for setting, table in tables.items():
            if setting.work != goal.work:
                continue
            ratios = ratios_of(goal, table)
            if not ratios:
                continue
            middle, (where, worst) = statistics.median(ratios.values()), lowest(ratios)
            promised = setting.cell != "Elman" and (setting.cores == 1 or not goal.one_core)
            wanted = [
                f"{name} ≥ {bound:.2f}"
                for name, bound in (("median", goal.median), ("each", goal.worst))
                if bound and promised
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
    if not rows:
        yield "No rival of whom anything was promised was measured beside jaxrnn."
        yield ""
        return
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
