"""How the notebook scripts begin, print a table and draw a picture; nothing about networks."""

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrnn.errors import InputError, MissingExtraError

# Okabe & Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, PINK, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
GREY = "#8A8A8A"

STYLE = {
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def run(main: Callable[..., None]) -> None:
    """Run `main` with the command line as arguments; what a user can mend is one sentence."""
    try:
        import tyro
    except ImportError:
        sys.exit(str(MissingExtraError("tyro", extra="examples")))
    sys.stdout.reconfigure(errors="replace")
    try:
        tyro.cli(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table: the first column to the left, numbers to the right."""
    grid = Table(box=box.MARKDOWN)
    for place, name in enumerate(header):
        grid.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(cell if isinstance(cell, str) else f"{cell:.4g}") for cell in row))
    # A fixed width, so that the same text comes out on a terminal and in a file.
    console = Console(width=160, color_system=None)
    with console.capture() as printed:
        console.print(grid)
    print(*filter(None, map(str.rstrip, printed.get().splitlines())), "", sep="\n")


def lesson(docstring: str) -> None:
    """Print the last paragraph of a script's docstring: what the experiment shows."""
    print("\n" + docstring.strip().split("\n\n")[-1])


def picture(path: Path, size: tuple[float, float], draw: Callable) -> None:
    """Let `draw(figure)` draw into a PNG file; one sentence if matplotlib is not there."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from PIL import Image  # comes with matplotlib
    except ImportError:
        print(f"no picture: {MissingExtraError('matplotlib', extra='plot')}")
        return
    try:
        with rc_context(STYLE), io.BytesIO() as drawn:
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            figure.savefig(drawn, dpi=110)
            # A palette is enough, and a third of the size.
            Image.open(drawn).convert("RGB").quantize(128).save(path, format="PNG", optimize=True)
    except OSError as error:
        raise InputError(f"'{path}' cannot be drawn: {error}.") from error
    print(f"picture: {path}")
