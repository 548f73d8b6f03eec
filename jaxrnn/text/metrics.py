"""The metrics of a training, one JSON object per line: the same however often it was stopped."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxrnn.atomic_file import sync_folder
from jaxrnn.errors import InputError, SaveError
from jaxrnn.text.fitting import Report
from jaxrnn.training import bits

_LEFT_OUT = ("params", "point", "tokens_per_second")  # the last is another at every run


@contextlib.contextmanager
def metrics_file(path: str | Path, keep: int = 0) -> Iterator[Callable[[Report], None]]:
    """A function that writes reports to a file, one JSON object per line.

    Args:
      path: where to.
      keep: how many bytes of an existing file to write after; the rest is cut off.

    Returns:
      A context manager for the function `(report) -> None`.

    Raises:
      InputError: if the file cannot be opened for writing.
      SaveError: from the function, if a report cannot be written.
    """
    try:
        file = Path(path).open("r+b" if keep else "wb", buffering=0)
        file.truncate(keep)
        file.seek(keep)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from error
    with file:

        def write(report):
            try:
                # Not buffered: the file can be followed while training runs, and survives its end.
                file.write(_line(report).encode())
            except OSError as error:
                raise SaveError(
                    f"'{path}': the metrics of step {report.step} cannot be written "
                    f"({error.strerror})."
                ) from error

        yield write


def metrics_position(path: str | Path) -> dict[str, Any]:
    """How far a metrics file goes, for a checkpoint; all of it is on the disk then.

    Args:
      path: the file.

    Returns:
      Its length in bytes and its SHA-256.
    """
    with Path(path).open("r+b") as file:  # some systems bring on to the disk only what is written
        raw = file.read()
        os.fsync(file.fileno())
    sync_folder(Path(path).absolute().parent)
    return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def read_metrics(path: str | Path, position: Mapping[str, Any]) -> list[Report] | None:
    """The reports that a metrics file began with when a checkpoint was written.

    Args:
      path: the file.
      position: what `metrics_position` said then.

    Returns:
      The reports, without parameters and speed; None if the file does not begin like that any more.
    """
    try:
        raw = Path(path).read_bytes()[: position["bytes"]]
        if hashlib.sha256(raw).hexdigest() != position["sha256"]:
            return None
        return [_report(json.loads(line)) for line in raw.splitlines()]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def loss_curve(path: str | Path) -> tuple[list[int], list[float], list[float]]:
    """Steps, training losses and validation losses of a metrics file, as far as there is one.

    Args:
      path: the file. Reports of which every update was left out are left out too.
    """
    try:
        reports = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
        rows = [(each["step"], each["loss"], each["validation_loss"]) for each in reports]
    except (OSError, ValueError, KeyError, TypeError):
        return [], [], []
    rows = [row for row in rows if None not in row]
    return tuple(map(list, zip(*rows, strict=True))) if rows else ([], [], [])


def _line(report):
    figures = report._asdict()
    for name in _LEFT_OUT:
        del figures[name]
    figures["loss_bits"] = bits(report.loss)
    figures["validation_loss_bits"] = bits(report.validation_loss)
    # JSON knows no NaN, the mean over nothing.
    known = {k: v if math.isfinite(v) else None for k, v in figures.items()}
    return json.dumps(known) + "\n"


def _report(figures):
    known = {k: math.nan if v is None else v for k, v in figures.items() if k in Report._fields}
    return Report(**known, tokens_per_second=math.nan, params=None)
