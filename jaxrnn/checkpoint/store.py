"""A folder of checkpoints: written in the background, kept by a rule, tidied up after a kill."""

import contextlib
import dataclasses
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrnn.atomic_file import sync_folder
from jaxrnn.cell import named_leaves
from jaxrnn.checkpoint.lock import locked
from jaxrnn.checkpoint.reading import (
    PARTS,
    Loaded,
    describe_array,
    load_checkpoint,
    read_record,
)
from jaxrnn.checkpoint.seal import write_seal
from jaxrnn.errors import CheckpointError, CorruptFileError, InputError, NonFiniteError, SaveError

_STEP = re.compile(r"\d{1,15}")
_DELETED, _DAMAGED = ".deleted", ".damaged"


@dataclasses.dataclass(frozen=True)
class Retention:
    """Which checkpoints are kept."""

    last: int = 2
    """How many of the newest."""
    best: int = 1
    """How many of those with the lowest score."""

    def __post_init__(self):
        """Refuse to keep nothing."""
        if self.last < 1 or self.best < 0:
            raise InputError(
                f"keeping the last {self.last} and the best {self.best} checkpoints is not "
                "possible; keep at least the last one."
            )


@contextlib.contextmanager
def open_checkpoints(
    folder: str | Path, retention: Retention | None = None
) -> Iterator["Checkpoints"]:
    """Open a folder of checkpoints for writing, and see to it that all is written at the end.

    What a killed process left unfinished is removed. One process at a time may write there: the
    folder is locked meanwhile, against writers only.

    Args:
      folder: where to; made if it is not there.
      retention: which ones are kept; the last two and the best one if None.

    Returns:
      A context manager for the `Checkpoints`.

    Raises:
      CheckpointError: if the folder cannot be written, or another process has it open.
      SaveError: at the end, if the last checkpoint could not be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with open_checkpoints(folder, Retention(last=1)) as checkpoints:
      ...         for step in (10, 20):
      ...             checkpoints.save(step, {"w": np.full(2, step)}, {"note": "mine"})
      ...     checkpoints.steps(), checkpoints.load({"w": np.zeros(2, int)})
      ([20], (20, Loaded(tree={'w': array([20, 20])}, content={'note': 'mine'}), []))
    """
    checkpoints = Checkpoints(Path(folder), Retention() if retention is None else retention)
    with checkpoints.locked():
        checkpoints.tidy()
        try:
            yield checkpoints
            checkpoints.finish()
        finally:
            checkpoints.close()


class Checkpoints:
    """A folder of checkpoints, one subfolder per step; made by `open_checkpoints`."""

    def __init__(self, folder: Path, retention: Retention):
        """Nothing is read or written yet."""
        self.folder = folder
        self.retention = retention
        self._scores: dict[int, float | None] = {}
        self._begun: int | None = None  # the step that is being written
        self._writer = None

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if _STEP.fullmatch(p.name))

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / str(step)

    def save(self, step: int, tree: Any, content: dict, score: float | None = None) -> None:
        """Begin to write a checkpoint; a step that is there already is left as it is.

        Args:
          step: its number.
          tree: arrays; what is donated or changed after this call does not matter.
          content: JSON-able, handed back by `load`.
          score: the lower the better; None if it was not measured.

        Raises:
          NonFiniteError: if a number in the tree is not finite: nothing is written.
          SaveError: if the checkpoint before this one could not be written.
        """
        from jaxrnn.checkpoint import orbax_files  # takes a second to import

        self.finish()
        if step in self.steps():
            return
        arrays = {name: np.array(leaf, order="C") for name, leaf in named_leaves(tree)}
        for name, array in arrays.items():
            if jax.numpy.issubdtype(array.dtype, jax.numpy.inexact):
                if not np.isfinite(array).all():
                    raise NonFiniteError(f"{name!r} is not finite at step {step}: not saved.", step)
        described = {name: describe_array(array) for name, array in arrays.items()}
        record = {"content": content, "score": score, "arrays": described}
        if self._writer is None:
            self._writer = orbax_files.Writer(complete=lambda folder: write_seal(folder, PARTS))
        self._begun, self._scores[step] = step, score
        kept = {name: array for name, array in arrays.items() if array.size}
        with self._reported():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer.begin(self.path(step), kept, record)

    def check(self) -> None:
        """Raise SaveError if the checkpoint that was begun last could not be written."""
        if self._writer is not None:
            with self._reported():
                self._writer.check()

    def finish(self) -> None:
        """Wait until the checkpoint that was begun last is on the disk, and remove old ones.

        Raises:
          SaveError: if it could not be written.
        """
        if self._begun is None:
            return
        with self._reported():
            self._writer.finish()
            # Its name too is on the disk before the checkpoints that it replaces lose theirs.
            sync_folder(self.folder)
            sync_folder(self.folder.absolute().parent)
        self._begun = None
        for step in set(self.steps()) - self._kept():
            self._remove(self.path(step))

    def load(self, like: Any) -> tuple[int, Loaded, list[CorruptFileError]]:
        """Read the newest checkpoint that is not damaged.

        Args:
          like: a tree like the saved one, or a function of the record's content that gives one.

        Returns:
          step: its number.
          loaded: its tree and content.
          damaged: what was wrong with newer ones.

        Raises:
          CheckpointError: if there is none, or if it is that of something else.
          CorruptFileError: if all are damaged.
        """
        damaged: list[CorruptFileError] = []
        for step in reversed(self.steps()):
            path = self.path(step)
            try:
                wanted = like(read_record(path).content) if callable(like) else like
                return step, load_checkpoint(path, wanted), damaged
            except CorruptFileError as error:
                damaged.append(error)
        if damaged:
            raise damaged[0]
        raise CheckpointError(f"there is no checkpoint in '{self.folder}'.")

    def set_aside(self, after: int) -> None:
        """Rename the checkpoints after a step, so that it can be gone on from there."""
        for step in self.steps():
            if step > after:
                path = self.path(step)
                path.rename(path.with_name(f"{path.name}{_DAMAGED}.{uuid.uuid4().hex[:8]}"))

    def clear(self) -> None:
        """Remove all checkpoints."""
        for step in self.steps():
            self._remove(self.path(step))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other writers out of it."""
        with contextlib.ExitStack() as entered:
            with self._usable():
                entered.enter_context(locked(self.folder))
            yield

    def tidy(self) -> None:
        """See whether the folder can be written, and remove what a kill left there."""
        from jaxrnn.checkpoint import orbax_files

        with self._usable():
            trial = self.folder / f".{uuid.uuid4().hex}.tmp"
            trial.mkdir()
            trial.rmdir()
            for path in self.folder.iterdir():
                if orbax_files.is_unfinished(path) or path.name.endswith(_DELETED):
                    shutil.rmtree(path)

    def close(self) -> None:
        """Stop writing; what went wrong there was for `finish` to say."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # only if nothing was ever saved there

    def _kept(self):
        steps = self.steps()
        scored = [(self._score(step), step) for step in steps]
        best = sorted(pair for pair in scored if pair[0] is not None)[: self.retention.best]
        return {*steps[-self.retention.last :], *(step for _, step in best)}

    def _score(self, step):
        if step not in self._scores:  # written by a process before this one
            self._scores[step] = None
            with contextlib.suppress(CheckpointError, CorruptFileError):
                self._scores[step] = read_record(self.path(step)).score
        return self._scores[step]

    def _remove(self, path):
        # Renamed first: a kill in the middle of removing must not leave half a checkpoint.
        doomed = path.with_name(f"{path.name}{_DELETED}")
        with self._reported():
            path.rename(doomed)
            shutil.rmtree(doomed)

    @contextlib.contextmanager
    def _usable(self):
        """Turn what the folder does not allow into one sentence."""
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"'{self.folder}': checkpoints cannot be written there ({error.strerror})."
            ) from error

    @contextlib.contextmanager
    def _reported(self):
        """Turn whatever writing raises into one sentence."""
        try:
            yield
        except Exception as error:
            step, self._begun = self._begun, None
            raise SaveError(
                f"'{self.folder}': the checkpoint of step {step} cannot be written "
                f"({_reason(error)}); the one before it is as it was."
            ) from error


def _reason(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's wording
    if found:
        return os.strerror(int(found.group(1)))
    return next(iter(str(error).splitlines()), type(error).__name__)
