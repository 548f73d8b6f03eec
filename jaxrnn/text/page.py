"""A page to look at: one HTML file that needs nothing beside it, and asks nobody for anything.

Everything that comes from a text is escaped, and the page forbids itself, by its own policy, to
load anything from anywhere.
"""

import base64
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrnn.errors import InputError
from jaxrnn.text.looking import Reading, telling_units, visible

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
.text {{ font-family: monospace; white-space: pre-wrap; line-height: 1.5; }}
.text {{ overflow-wrap: anywhere; }}
svg {{ width: 100%; font-size: 11px; }}
</style>
</head>
<body>
<h1>{title}</h1>
"""

_SCRIPT = """<script>
(() => {
  const states = JSON.parse(document.getElementById("states").textContent);
  const marks = document.querySelectorAll("#units span");
  const state = document.getElementById("state"), unit = document.getElementById("unit");
  const paint = () => {
    const { count, values } = states[state.value];
    document.getElementById("number").textContent = unit.value;
    const bytes = atob(values);
    marks.forEach((mark, t) => {
      const v = bytes.charCodeAt(t * count + Number(unit.value)) / 127.5 - 1;
      const colour = v > 0 ? "214,39,40" : "31,119,180";
      mark.style.background = `rgba(${colour},${(0.7 * Math.abs(v)).toFixed(2)})`;
    });
  };
  state.oninput = () => {
    unit.max = states[state.value].count - 1;  // first, or the value would be cut to it
    unit.value = states[state.value].telling;
    paint();
  };
  unit.oninput = paint;
  state.selectedIndex = state.length - 1;  // the last layer
  state.oninput();
})();
</script>
"""


def write_page(path: str | Path, title: str, *sections: str) -> None:
    """Write sections to an HTML file.

    Args:
      path: where to; an existing file is replaced.
      title: the headline.
      *sections: from `surprise_section`, `units_section` (once at most) and `losses_section`.

    Raises:
      InputError: if the file cannot be written.
    """
    head = _HEAD.format(title=html.escape(visible(title)))
    page = head + "".join(sections) + "</body>\n</html>\n"
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from error


def surprise_section(reading: Reading) -> str:
    """The text, the redder a token the more it surprised; and on pointing at it, what was expected.

    Args:
      reading: what `look` saw.
    """
    bits = reading.surprise / math.log(2)
    places = zip(reading.pieces, bits, reading.guesses, strict=True)
    spans = "".join(
        f'<span style="background:{_red(surprise)}" title="{_expected(surprise, guesses)}">'
        f"{html.escape(visible(piece))}</span>"
        for piece, surprise, guesses in places
    )
    return (
        f"<h2>Surprise</h2>\n<p>{np.nanmean(bits):.2f} bits per token on average; white 0, red 8 "
        "bits and more. Point at a token to see what was expected there.</p>\n"
        f'<div class="text">{spans}</div>\n'
    )


def units_section(reading: Reading) -> str:
    """The text, coloured by a unit of one's choice: red where it is at 1, blue where at −1.

    Args:
      reading: what `look` saw; nothing is shown of a network without a state.
    """
    if not reading.units:
        return ""
    states = {name: _packed(units) for name, units in reading.units.items()}
    options = "".join(f"<option>{html.escape(name)}</option>" for name in states)
    spans = "".join(f"<span>{html.escape(visible(piece))}</span>" for piece in reading.pieces)
    # In JSON "<" may be written as an escape; so no name can end the script element.
    data = json.dumps(states).replace("<", "\\u003c")
    return (
        "<h2>Hidden units</h2>\n<p>Red where the unit is at 1, blue where it is at −1, after the "
        "token was read.</p>\n"
        f'<p><label>state <select id="state">{options}</select></label> <label>unit <input '
        'id="unit" type="range" min="0" max="0" value="0"> <output id="number"></output></label>'
        f'</p>\n<div class="text" id="units">{spans}</div>\n'
        f'<script type="application/json" id="states">{data}</script>\n{_SCRIPT}'
    )


def losses_section(
    steps: Sequence[int], training: Sequence[float], validation: Sequence[float]
) -> str:
    """The losses over the updates, as a drawing.

    Args:
      steps: updates done at each report.
      training: nats, one per report.
      validation: nats, one per report.
    """
    if not len(steps):
        return ""
    numbers = [value for value in (*training, *validation) if math.isfinite(value)]
    low, high = min(numbers, default=0), max(numbers, default=1)
    high = high if high > low else low + 1

    def line(values, colour):
        points = " ".join(
            f"{60 + 620 * step / max(*steps, 1):.1f},{20 + 240 * (high - value) / (high - low):.1f}"
            for step, value in zip(steps, values, strict=True)
            if math.isfinite(value)
        )
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    ticks = "".join(
        f'<line x1="60" x2="680" y1="{y}" y2="{y}" stroke="#ddd"/><text x="52" y="{y + 4}" '
        f'text-anchor="end">{high + (low - high) * number / 4:.2f}</text>'
        for number, y in enumerate(range(20, 261, 60))
    )
    return (
        '<h2>Losses</h2>\n<svg viewBox="0 0 700 300">'
        f"{ticks}{line(training, '#1f77b4')}{line(validation, '#ff7f0e')}"
        f'<text x="60" y="280">0</text><text x="680" y="280" text-anchor="end">{max(steps):,} '
        'updates</text><text x="60" y="296" fill="#1f77b4">training (nats)</text>'
        '<text x="200" y="296" fill="#ff7f0e">validation (nats)</text></svg>\n'
    )


def _red(bits):
    return f"rgba(214,39,40,{min(np.nan_to_num(bits) / 8, 1):.2f})"


def _expected(bits, guesses):
    if not guesses:
        return "the beginning"
    listed = ", ".join(f"{visible(piece).rstrip()!r} {share:.0%}" for piece, share in guesses)
    return html.escape(f"{bits:.2f} bits; expected {listed}")


def _packed(units):
    """Values from −1 to 1 as one byte each, time by time."""
    raw = np.round((np.clip(units, -1, 1) + 1) * 127.5).astype(np.uint8).tobytes()
    (telling,) = telling_units(units, 1)
    return {
        "count": units.shape[1],
        "telling": telling,
        "values": base64.b64encode(raw).decode("ascii"),
    }
