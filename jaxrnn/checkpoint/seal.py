"""A list of a checkpoint's files with their SHA-256, written into it before it gets its name."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from jaxrnn import atomic_file
from jaxrnn.errors import CheckpointError, CorruptFileError

FORMAT = 1
NAME = "seal.json"
MAX_SEAL_BYTES = 16 * 2**20


def write_seal(folder: Path, parts: tuple[str, ...]) -> None:
    """Seal what stands in the parts of a folder, and see to it that all of it is on the disk.

    Args:
      folder: where the checkpoint is being written.
      parts: its subfolders; what stands beside them is not sealed.
    """
    files = {name: _digest(folder / name, sync=True) for name in sorted(_names(folder, parts))}
    content = {"format": FORMAT, "files": files}
    text = json.dumps(content | {"sha256": _digest_of(content)})
    with (folder / NAME).open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    for place, _, _ in os.walk(folder):
        atomic_file.sync_folder(Path(place))


def check_seal(folder: Path, parts: tuple[str, ...]) -> None:
    """Raise unless a checkpoint's files are those that were sealed, bit for bit.

    Args:
      folder: the checkpoint.
      parts: its subfolders.

    Raises:
      CorruptFileError: naming the file that is not as it was written.
      CheckpointError: if the folder is no checkpoint, or one of another version.
    """
    try:
        files = _sealed_files(folder)
        found = set(_names(folder, parts))
        for name in sorted(found | set(files)):
            path = folder / name
            if name not in files:
                raise CorruptFileError(f"'{path}' was added after the checkpoint was written.")
            if name not in found:
                raise CorruptFileError(f"'{path}' is missing.")
            if path.stat().st_size != files[name]["bytes"] or _digest(path) != files[name]:
                raise CorruptFileError(f"'{path}' was damaged after it was written.")
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError | CorruptFileError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"'{folder}' cannot be read as a checkpoint ({reason}).") from error


def _sealed_files(folder) -> dict[str, Any]:
    path = folder / NAME
    if folder.is_dir() and not os.path.lexists(path):
        raise CorruptFileError(f"'{path}' is missing.")
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SEAL_BYTES:
        raise CheckpointError(f"'{path}' is not the seal of a checkpoint.")
    try:
        seal = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"'{path}' was damaged after it was written.") from error
    match seal:
        case {"format": int(version), "files": _, "sha256": _} if version != FORMAT:
            raise CheckpointError(
                f"'{path}' has format version {version}, but this jaxrnn reads {FORMAT}: the "
                "checkpoint was written by another version, or damaged."
            )
        case {"format": _, "files": dict(files), "sha256": str(digest), **rest} if not rest:
            known = all(map(_is_entry, files.values()))
            if known and digest == _digest_of({"format": FORMAT, "files": files}):
                if sum(entry["bytes"] for entry in files.values()) <= atomic_file.MAX_BYTES:
                    return files
                raise CheckpointError(f"'{folder}' is larger than any checkpoint that is read.")
    raise CorruptFileError(f"'{path}' was damaged after it was written.")


def _is_entry(entry):
    match entry:
        case {"bytes": int(size), "sha256": str(), **rest}:
            return size >= 0 and not rest
    return False


def _names(folder, parts):
    """The files in the parts of a folder; what is no file would keep its reader waiting."""
    for part in parts:
        for place, folders, files in os.walk(folder / part, onerror=_raise):
            for name in (*folders, *files):
                path = Path(place, name)
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    yield path.relative_to(folder).as_posix()
                elif not stat.S_ISDIR(mode):
                    raise CheckpointError(f"'{path}' is neither a file nor a folder.")


def _raise(error):
    if not isinstance(error, FileNotFoundError):  # whose files will be missed by name
        raise error


def _digest(path, sync=False):
    # Some systems refuse to write through what was opened for reading.
    with path.open("r+b" if sync else "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
        return {"bytes": file.tell(), "sha256": digest}


def _digest_of(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
