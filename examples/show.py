"""How the gallery checks what it is given, prints a table and draws a picture."""

import io
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


def check(picture: Path, **numbers: int) -> None:
    """Refuse now what would otherwise be refused after the training."""
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} is {number}; give a positive number.")
    place = picture.resolve()
    there = place.exists()
    try:
        place.open("ab").close()
    except OSError as error:
        raise cannot_be_drawn(picture, error) from error
    if not there:
        place.unlink()


def cannot_be_drawn(path: Path, error: OSError) -> InputError:
    """One sentence about a place where no picture can go."""
    return InputError(f"the picture '{path}' cannot be written ({error.strerror or error}).")


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


def lesson(docstring: str, claims: dict[str, bool]) -> None:
    """Print what the experiment shows, the last paragraph of a script's docstring, if it did.

    `claims` are what that paragraph says, and whether this run measured it.
    """
    missed = [claim for claim, measured in claims.items() if not measured]
    if not missed:
        print("\n" + docstring.strip().split("\n\n")[-1])
        return
    print("\nWhat the default settings show, and this run did not:")
    print(*(f"  {claim}" for claim in missed), sep="\n")


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
        raise cannot_be_drawn(path, error) from error
    print(f"picture: {path}")
