"""A folder that one process at a time writes to."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from jaxrnn.errors import CheckpointError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold the lock on it, which ends with the process, however that ends.

    The lock is on the folder itself: no file is left, and who only reads asks for none. Where there
    are no such locks (Windows, some network file systems) there is none here either.

    Args:
      folder: it is made if it is not there.

    Raises:
      CheckpointError: if another process holds it.
      OSError: if the folder cannot be made.
    """
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder):
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return None
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise CheckpointError(
                f"'{folder}' is in use: another training writes its checkpoints there; wait for "
                "its end, or train elsewhere."
            ) from error
        except FileNotFoundError:
            pass  # who had it before removed it in this moment
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)
