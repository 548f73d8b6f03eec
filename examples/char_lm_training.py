"""A training of `char_lm.py` from its beginning, or a checkpoint, to its end, whatever that is."""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
from command_line import Interrupted

from jaxrnn import text
from jaxrnn.checkpoint import Checkpoints, Retention, open_checkpoints
from jaxrnn.errors import CheckpointError, NonFiniteError
from jaxrnn.training import Agreement, average_of, losses_reported, part, stop_signals


class Files(NamedTuple):
    """What stands beside a model, named after it."""

    metrics: Path
    picture: Path
    checkpoints: Path

    @classmethod
    def beside(cls, model: Path):
        """Where they go."""
        endings = ("metrics.jsonl", "losses.png", "checkpoints")
        return cls(*(model.with_name(f"{model.stem}.{ending}") for ending in endings))


class Ended(NamedTuple):
    """How a training ended."""

    history: list[text.Report]
    newest: tuple[int, Any] | None  # the step and the parameters, if there was a report
    reason: Exception | None  # if it ended early
    saved: bool  # whether there are checkpoints


@dataclasses.dataclass(frozen=True)
class Saving:
    """Checkpoints: where training goes on after whatever ended it."""

    resume: bool = False
    """Go on from the newest checkpoint, if there is one: exactly as if nothing had happened."""
    save_every: int = 250
    """Updates between two checkpoints, which are written at reports."""
    keep_last: int = 2
    """How many of the newest checkpoints are kept."""
    keep_best: int = 1
    """How many of those with the lowest validation loss are kept."""


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def carry_out(network, training, parts, record, saving, files, devices, tensorboard=None) -> Ended:
    """Train from the beginning or a checkpoint, until all is done or something ends it."""
    together = jax.process_count() > 1
    with contextlib.ExitStack() as entered:
        entered.enter_context(losses_reported())
        stop = entered.enter_context(stop_signals())
        beginning = text.Beginning()
        if is_first():
            retention = Retention(saving.keep_last, saving.keep_best)
            checkpoints = entered.enter_context(open_checkpoints(files.checkpoints, retention))
            if find_earlier(checkpoints, saving.resume):
                beginning = text.resume(
                    *(checkpoints, files.metrics, record, network, training),
                    devices=devices.count,
                )
        if together:
            beginning = text.shared(beginning, network, training, record)
            stop = Agreement(stop)
        tell(beginning, saving.resume, files.checkpoints)
        reports = text.fit(
            *(network, training, parts.train, parts.validation),
            start=beginning.point,
            stop=stop,
            devices=devices,
        )
        if is_first():
            reports = text.kept(
                *(reports, checkpoints, files.metrics, record, training, saving.save_every),
                metrics_bytes=beginning.metrics_bytes,
                devices=devices.count,
            )
        write = entered.enter_context(figures_for(tensorboard, training, beginning))
        history, newest, reason = follow(reports, training.steps, beginning, write)
    if together and not isinstance(reason, OSError):  # which is of the first process alone
        part()  # and so is what follows
    if isinstance(reason, text.Stopped):
        reason = Interrupted(stop.answer if together else stop(), str(reason))
    return Ended(history, newest, reason, is_first() and bool(checkpoints.steps()))


def find_earlier(checkpoints: Checkpoints, resume: bool) -> bool:
    """Whether there is something to go on from; what a finished training left makes room."""
    if not resume and text.is_finished(checkpoints):
        checkpoints.clear()
    if not resume and checkpoints.steps():
        raise CheckpointError(
            f"'{checkpoints.folder}' holds a training that was stopped after step "
            f"{checkpoints.steps()[-1]}: go on with --resume, or remove the folder to begin anew."
        )
    return bool(checkpoints.steps())


def tell(beginning: text.Beginning, resume: bool, checkpoints: Path):
    """Say where training goes on, or that there is nothing to go on from."""
    for note in beginning.notes:
        print(f"note: {note}", file=sys.stderr)
    if beginning.point is not None:
        print(f"going on after step {beginning.step}")
    elif resume:  # as whoever always says so may know; but perhaps --out is mistyped
        print(f"there is no checkpoint in '{checkpoints}': beginning anew")


def figures_for(tensorboard: Path | None, training: text.TrainConfig, beginning: text.Beginning):
    """What takes the reports for TensorBoard, if it is asked for and this is who writes."""
    if tensorboard is None or not is_first():
        return contextlib.nullcontext(lambda report: None)
    return text.tensorboard(tensorboard, training, after=beginning.step)


def follow(reports, steps, beginning: text.Beginning, write):
    """Show the reports, and have them written.

    Return all of them, the newest parameters with their step, and what ended the training early.
    """
    history, newest = list(beginning.history), None
    if beginning.point is not None:
        newest = beginning.step, average_of(beginning.point.state)
    try:
        with text.progress(steps) as show:
            for report in reports:
                newest = report.step, report.params
                history.append(report._replace(params=None, point=None))
                show(report)
                write(report)
    except (text.Stopped, NonFiniteError, OSError) as reason:
        return history, newest, reason
    return history, newest, None
