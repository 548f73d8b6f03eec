"""Showing how training stands: a live bar on a terminal, plain lines elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrnn.text.fitting import Report
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
def progress_of(what: str, console: Console | None = None) -> Iterator[Callable[[float], None]]:
    """A function that shows how much of some work is done: a live bar, or a line at every tenth.

    Args:
      what: the work.
      console: where to; standard output if None.

    Returns:
      A context manager for the function `(share) -> None`.

    Example:
      >>> with progress_of("reading") as show:
      ...     for share in (0.04, 0.11, 0.12, 1.0):
      ...         show(share)
      reading: 10%
      reading: 100%
    """
    console = Console() if console is None else console
    if console.is_terminal:
        with Progress(console=console) as bar:
            task = bar.add_task(what, total=1.0)
            yield lambda share: bar.update(task, completed=share)
        return
    shown = 0

    def show(share):
        nonlocal shown
        tenths = int(share * 10)
        if tenths > shown:
            shown = tenths
            print(f"{what}: {tenths}0%", file=console.file, flush=True)

    yield show


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
    skipped = f"  {report.skipped} skipped" if report.skipped else ""
    return (
        f"train {report.loss:.3f} nats {bits(report.loss):.3f} bits  "
        f"validation {report.validation_loss:.3f}  gradient {report.gradient_norm:.2f}  "
        f"{report.tokens_per_second:,.0f} chars/s{skipped}"
    )
