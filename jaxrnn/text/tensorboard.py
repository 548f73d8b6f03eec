"""The figures of a training for TensorBoard (needs the extra `tensorboard`)."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optax

from jaxrnn.errors import InputError, MissingExtraError, SaveError
from jaxrnn.text.fitting import Report
from jaxrnn.text.recipe import TrainConfig, learning_rate


@contextlib.contextmanager
def tensorboard(
    folder: str | Path, config: TrainConfig, after: int = 0
) -> Iterator[Callable[[Report], None]]:
    """A function that writes reports where TensorBoard finds them.

    Each report is on the disk when the function returns. What an earlier training, or this one
    before it was stopped, wrote of later steps is declared void, so that no step is shown twice.

    Args:
      folder: where to; one for each training.
      config: how it is trained.
      after: the step after which it goes on.

    Returns:
      A context manager for the function `(report) -> None`.

    Raises:
      MissingExtraError: if tensorboardX is not installed.
      InputError: if the folder cannot be written.
      SaveError: from the function, if a report cannot be written.
    """
    events, record_writer = _library()
    folder = Path(folder)

    def put(step, **content):
        event = events.Event(wall_time=time.time(), step=step, **content)
        file.write(event.SerializeToString())

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Files are read in the order of their names.
        file = record_writer(str(folder / f"events.out.tfevents.{time.time_ns()}"))
        put(0, file_version="brain.Event:2")
        put(after + 1, session_log=events.SessionLog(status=events.SessionLog.START))
        file.flush()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"'{folder}' cannot be written for TensorBoard: {reason}.") from error

    def write(report):
        figures = _figures(report, config).items()
        values = [{"tag": tag, "simple_value": x} for tag, x in figures if math.isfinite(x)]
        try:
            put(report.step, summary={"value": values})
            file.flush()
        except OSError as error:
            raise SaveError(
                f"'{folder}': the figures of step {report.step} cannot be written for TensorBoard "
                f"({error.strerror})."
            ) from error

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):  # all that could be written was flushed
            file.close()


def _figures(report, config):
    figures = {
        "loss/training": report.loss,
        "loss/validation": report.validation_loss,
        "gradient_norm": report.gradient_norm,
        "update_ratio": report.update_ratio,
        "skipped": report.skipped,
        "tokens_per_second": report.tokens_per_second,
    }
    if report.point is not None:
        # Counted by the optimizer, which does not see the updates that were left out.
        counts = optax.tree.get_all_with_path(report.point.state.opt_state, "count")
        updates = max(int(count) for _, count in counts)
        figures["learning_rate"] = float(learning_rate(config)(max(updates - 1, 0)))
    return figures


def _library():
    """Imported when it is needed: where torch is installed it takes seconds."""
    try:
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter
    except ImportError as error:
        raise MissingExtraError("tensorboardX", extra="tensorboard") from error
    return event_pb2, RecordWriter
