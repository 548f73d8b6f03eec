"""Files that appear under their name only when they are complete, and are looked at before read."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxrnn.errors import ModelFileError

MAX_BYTES = 8 * 2**30


def write_atomically(path: str | Path, raw: bytes, verify: Callable[[Path], Any]) -> None:
    """Write a file beside its place, on to the disk, have it read back, and only then name it.

    A crash in between leaves the old file as it was. Afterwards not even a power cut can lose it.

    Args:
      path: where to; an existing file is replaced.
      raw: the content.
      verify: reads a file of that content; called with the path of the new one, and raises
        `ModelFileError` if it is not what was to be written.

    Raises:
      ModelFileError: if the file cannot be written, or `verify` refuses it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "answer"
      ...     write_atomically(path, b"42", verify=Path.read_bytes)
      ...     path.read_bytes()
      b'42'
    """
    with replacing(path, verify) as file:
        file.write(raw)


@contextlib.contextmanager
def replacing(
    path: str | Path, verify: Callable[[Path], Any], what: str = "the model"
) -> Iterator[BinaryIO]:
    """`write_atomically` for what is too large to be in memory at once.

    Args:
      path: where to; an existing file is replaced when all is written, and only then.
      verify: as `write_atomically` has it.
      what: is written, for messages.

    Returns:
      A context manager for the file to write to. If its block is left by an exception, nothing is
      left behind.

    Raises:
      ModelFileError: if the file cannot be written, or `verify` refuses it.
    """
    path, trial = _places(Path(path), what)
    try:
        with trial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        verify(trial)
        trial.replace(path)
        sync_folder(path.parent)
    except (OSError, ModelFileError) as error:
        raise _not_writable(path, error, what) from error
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


def sync_folder(folder: Path) -> None:
    """See to it that the names of the files in a folder are on the disk, as they are now.

    What `os.fsync` of a file brings there is its content: a new name is content of its folder.

    Args:
      folder: where files were made, named or replaced.

    Raises:
      OSError: if the disk fails.
    """
    if os.name == "nt":  # which opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(descriptor)


def remove_unfinished(path: str | Path) -> None:
    """Remove what writers of a file that were killed have left beside it.

    Args:
      path: the file. One that is still being written there will not get its name.
    """
    path, _ = _places(Path(path))
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    with contextlib.suppress(OSError):  # whoever writes there next will say what is wrong
        for beside in path.parent.iterdir():
            if unfinished.fullmatch(beside.name):
                beside.unlink()


def check_writable(path: str | Path, what: str = "the model") -> None:
    """Find out now whether a file will be writable, rather than after a long training.

    Args:
      path: where it shall go.
      what: shall go there, for messages.

    Raises:
      ModelFileError: if it cannot go there.
    """
    path, trial = _places(Path(path), what)
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise _not_writable(path, error, what) from error


def check_readable(path: str | Path) -> None:
    """Raise ModelFileError unless `path` is a regular file of a size that may be read.

    Args:
      path: the file; a pipe or a device would keep its reader waiting for ever.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"cannot be read ({reason}).") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("not a regular file, so not a model file.")
    if status.st_size > MAX_BYTES:
        raise ModelFileError(f"larger than the {MAX_BYTES:,} bytes that are read.")


def _places(path, what="the model"):
    """Where the file goes, and beside it where it is written first."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path = path.resolve()  # a link stays a link: the file it points to is replaced
        return path, path.with_name(f".{path.name}.{os.getpid()}.tmp")
    except (OSError, ValueError) as error:
        raise _not_writable(path, error, what) from error


def _not_writable(path, error, what):
    reason = error.strerror if isinstance(error, OSError) else error
    return ModelFileError(f"'{path}': {what} cannot be written there ({reason}).")
