"""Pictures of a text as a model read it (need the extra `plot`)."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrnn.errors import InputError, MissingExtraError
from jaxrnn.text.looking import Reading, telling_units, visible

WIDTH = 80  # characters in a line at most
MINIMUM = 40  # room for the headline
LONGEST = 4_000  # characters in a picture; more would take long to draw and to look at
_CELL = (0.09, 0.19)  # inches


def plot_surprise(path: str | Path, reading: Reading) -> None:
    """Draw a text, the redder a character the more it surprised: white 0, red 8 bits and more.

    Args:
      path: where to; its suffix says the format, as in `surprise.png`.
      reading: what `look` saw, of which the first 4,000 characters are drawn.

    Raises:
      MissingExtraError: if matplotlib is not installed.
      InputError: if the file cannot be written.
    """
    bits = np.nan_to_num(reading.surprise) / np.log(2)
    title = f"surprise: {np.nanmean(reading.surprise) / np.log(2):.2f} bits on average"
    _draw(path, reading.pieces, [(title, bits, ("Reds", 0, 8))])


def plot_units(path: str | Path, reading: Reading, state: str, units: Sequence[int] = ()) -> None:
    """Draw a text once for each of some units: red where the unit is at 1, blue where at −1.

    Args:
      path: where to; its suffix says the format.
      reading: what `look` saw, of which the first 4,000 characters are drawn.
      state: which of `reading.units`.
      units: their numbers; the three most telling ones if none is given.

    Raises:
      MissingExtraError: if matplotlib is not installed.
      InputError: if there is no such state or unit, or the file cannot be written.
    """
    check_units(reading, state, units)
    values = reading.units[state]
    panels = [
        (f"{state}, unit {unit}", values[:, unit], ("bwr", -1, 1))
        for unit in (units or telling_units(values, 3))
    ]
    _draw(path, reading.pieces, panels)


def check_units(reading: Reading, state: str, units: Sequence[int]) -> None:
    """Refuse a state or a unit that there is not.

    Args:
      reading: what `look` saw.
      state: which of `reading.units`.
      units: their numbers.

    Raises:
      InputError: naming what there is.
    """
    if state not in reading.units:
        raise InputError(
            f"there is no state {state!r:.80}; give one of {', '.join(reading.units) or 'none'}."
        )
    count = reading.units[state].shape[1]
    for unit in units:
        if not 0 <= unit < count:
            raise InputError(f"there is no unit {unit} in {state}; give one from 0 to {count - 1}.")


def _draw(path, pieces, panels):
    try:
        # The figure by itself, without pyplot: no window system is asked for and nothing is global.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", extra="plot") from error
    every = list(_cells(pieces))
    cells = every[:LONGEST]
    lines, width = cells[-1][1] + 1, max(MINIMUM, *(column + 1 for _, _, column, _ in cells))
    size = width * _CELL[0] + 0.2, (lines + 2) * _CELL[1] * len(panels)
    figure = Figure(figsize=size, layout="constrained")
    for axes, (title, values, colours) in zip(
        np.atleast_1d(figure.subplots(len(panels))), panels, strict=True
    ):
        _draw_text(axes, cells, (lines, width), values, *colours)
        cut = "" if len(every) == len(cells) else f" (the first {LONGEST:,} characters)"
        axes.set_title(title + cut, loc="left", fontsize=8)
    try:
        with warnings.catch_warnings():
            # A character that the font lacks is shown as a box, which says as much.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be drawn: {error}.") from error


def _draw_text(axes, cells, shape, values, colours, low, high):
    grid = np.full(shape, np.nan)
    for character, line, column, place in cells:
        grid[line, column] = values[place]
        axes.text(
            *(column, line, character),
            **{"ha": "center", "va": "center", "fontsize": 9, "family": "monospace"},
            parse_math=False,
        )
    axes.imshow(grid, cmap=colours, vmin=low, vmax=high, alpha=0.7, aspect="auto")
    axes.set_axis_off()


def _cells(pieces):
    """Each character to be seen, with its line, its column and the place of its token."""
    line = column = 0
    for place, piece in enumerate(pieces):
        for character in visible(piece):
            if character == "\n":
                line, column = line + 1, 0
                continue
            if column == WIDTH:
                line, column = line + 1, 0
            yield character, line, column, place
            column += 1
