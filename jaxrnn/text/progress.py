"""Showing how training stands: a live bar on a terminal, plain lines elsewhere, JSON in a file."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrnn.errors import InputError
from jaxrnn.text.language_model import Report
from jaxrnn.training import bits

Show = Callable[[Report], None]


def line(report: Report, steps: int) -> str:
    """One line of plain text about a report.

    Args:
      report: what to show.
      steps: number of updates in the whole training.

    Example:
      >>> line(Report(50, 2.0, 0.5, 2.1, 10_000.0, params=None), steps=100)
      'step 50/100  train 2.000 nats 2.885 bits  validation 2.100  gradient 0.50  10,000 chars/s'
    """
    return f"step {report.step}/{steps}  {_figures(report)}"


@contextlib.contextmanager
def progress(steps: int, console: Console | None = None) -> Iterator[Show]:
    """A function that shows reports: a live bar on a terminal, else one plain line per report.

    Args:
      steps: number of updates in the whole training.
      console: where to; standard output if None.

    Returns:
      A context manager for the function `(report) -> None`.

    Example:
      >>> with progress(steps=100) as show:
      ...     show(Report(50, 2.0, 0.5, 2.1, 10_000.0, params=None))
      step 50/100  train 2.000 nats 2.885 bits  validation 2.100  gradient 0.50  10,000 chars/s
    """
    console = Console() if console is None else console
    if console.is_terminal:
        with _live(steps, console) as show:
            yield show
    else:
        # Flushed, so that whoever reads the pipe sees the line when it is written.
        yield lambda report: print(line(report, steps), file=console.file, flush=True)


@contextlib.contextmanager
def _live(steps, console):
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    # Reports come seldom: the time left is estimated over the whole training.
    with Progress(
        *columns, console=console, refresh_per_second=4, speed_estimate_period=1e9
    ) as bar:
        # The first report comes after compilation; until then the bar says what keeps it.
        task = bar.add_task("", total=steps, figures="compiling")
        yield lambda report: bar.update(task, completed=report.step, figures=_figures(report))


def _figures(report):
    return (
        f"train {report.loss:.3f} nats {bits(report.loss):.3f} bits  "
        f"validation {report.validation_loss:.3f}  gradient {report.gradient_norm:.2f}  "
        f"{report.tokens_per_second:,.0f} chars/s"
    )


@contextlib.contextmanager
def metrics_file(path: str | Path) -> Iterator[Show]:
    """A function that writes reports to a file, one JSON object per line.

    Args:
      path: where to; an existing file is replaced.

    Returns:
      A context manager for the function `(report) -> None`.

    Raises:
      InputError: if the file cannot be written.
    """
    try:
        file = Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from error
    with file:
        yield lambda report: _write_json(file, report)


def _write_json(file: TextIO, report):
    figures = report._asdict()
    del figures["params"]
    figures["loss_bits"] = bits(report.loss)
    figures["validation_loss_bits"] = bits(report.validation_loss)
    # Flushed, so that the file can be followed while training runs, and survives its end.
    print(json.dumps(figures), file=file, flush=True)
