"""Each notebook's training loop in Python against the same epochs in one compiled call.

    python examples/benchmarks/notebooks.py

Every measurement is a process of its own on one core, which suits matrices this small better than
two, and the contenders alternate. A contender trains once to warm up (ours compiles there) and is
then timed. Where the script trains networks from many initial weights in one call, that call is the
third contender. Needs PyTorch (the extra `torch`).
"""

import importlib.util
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import command_line  # noqa: E402, I001 (before all that takes long)
import show  # noqa: E402
from contest import apart  # noqa: E402
from jobs import count  # noqa: E402
from measure_notebook import EXPERIMENTS  # noqa: E402

from jaxrnn.errors import InputError, MissingExtraError  # noqa: E402


def main(*, repeats: int = 3, picture: Path = Path("notebooks.png")) -> None:
    """Measure everything, print the table, draw the picture.

    Args:
      repeats: processes per contender.
      picture: where the picture goes.
    """
    show.check(picture, repeats=repeats)
    if importlib.util.find_spec("torch") is None:
        raise InputError(str(MissingExtraError("torch", extra="torch")))
    results = {name: measure(name, repeats) for name in EXPERIMENTS}
    machine = f"one core, {platform.machine()}, float32"
    print(f"median of {count(repeats, 'process', 'processes')} each, alternating; {machine}\n")
    columns = ("experiment", "notebook ms/epoch", "ours ms/epoch", "times faster")
    columns += ("many at once: times faster each",)
    columns += ("notebook, all epochs", "ours, imports and compiling")
    show.table(columns, [row(name, result) for name, result in results.items()])
    draw(picture, results, machine)


def measure(name: str, repeats: int) -> dict[str, float]:
    """The medians of one experiment, and their ratios."""
    runs = {"notebook": [], "ours": []}
    if EXPERIMENTS[name].together > 1:
        runs["together"] = []
    for _ in range(repeats):
        for contender, seen in runs.items():
            seen.append(in_a_process(contender, name))
    medians = {c: statistics.median(seconds for seconds, _ in seen) for c, seen in runs.items()}
    result = {
        **medians,
        "ratio": medians["notebook"] / medians["ours"],
        "first": statistics.median(first for _, first in runs["ours"]),
    }
    if "together" in medians:
        result["ratio_together"] = medians["notebook"] / medians["together"]
    return result


def in_a_process(contender: str, name: str) -> tuple[float, float]:
    """Seconds per epoch and network, and seconds to import, compile and train once."""
    command = [sys.executable, str(HERE / "measure_notebook.py"), contender, name]
    try:
        return json.loads(subprocess.check_output(command, text=True, **apart(JAX_PLATFORMS="cpu")))
    except subprocess.CalledProcessError as error:  # It has said why, on our own stderr.
        raise SystemExit(
            f"{name}, {contender}: its process ended with status {error.returncode}."
        ) from None


def row(name: str, result: dict[str, float]) -> tuple[str, ...]:
    """A row of the table."""
    experiment, each = EXPERIMENTS[name], result.get("ratio_together")
    return (
        name,
        f"{1e3 * result['notebook']:.3g}",
        f"{1e3 * result['ours']:.3g}",
        f"{result['ratio']:.0f}",
        f"{each:.0f} ({experiment.together})" if each else "",
        f"{result['notebook'] * experiment.notebook:.1f} s",
        f"{result['first']:.1f} s",
    )


def draw(path: Path, results, machine: str) -> None:
    """One bar per experiment: how many times faster the compiled call is.

    A paler bar behind it, where many networks train in one call: how many times faster for each.
    """

    def bars(figure):
        axes = figure.subplots()
        names = list(results)[::-1]
        ratios = [results[name]["ratio"] for name in names]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        each = [results[name].get("ratio_together", 0) for name in names]
        axes.barh(names, each, color=show.BLUE, alpha=0.35, height=0.62)
        axes.barh(names, ratios, color=show.BLUE, height=0.62)
        for place, name in enumerate(names):
            theirs, mine = results[name]["notebook"], results[name]["ours"]
            label = f"{ratios[place]:.0f} ×   ({1e3 * theirs:.3g} → {1e3 * mine:.2g} ms)"
            if each[place]:
                label += f";  {EXPERIMENTS[name].together} at once: {each[place]:.0f} × each"
            end = max(ratios[place], each[place])
            axes.text(end * 1.06, place, label, va="center", size=8.5, bbox=box)
        axes.axvline(20, color="#333333", linestyle="--", linewidth=1, zorder=0)
        axes.set(
            xscale="log",
            xlim=(1, max(ratios) * 16),
            title="An epoch in one compiled call against the notebook's Python loop",
            xlabel=f"times faster   ({machine})",
        )
        axes.grid(visible=False, axis="y")

    show.picture(path, (7.6, 3.7), bars)


if __name__ == "__main__":
    command_line.run_tidily(main)
