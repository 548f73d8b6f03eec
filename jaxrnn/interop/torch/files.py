"""State dicts in files, which are data of unknown origin: nothing in them is ever executed."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxrnn.atomic_file import MAX_BYTES, check_readable
from jaxrnn.errors import CorruptFileError, ModelFileError
from jaxrnn.interop.torch.arrays import is_tensor, library
from jaxrnn.model_file import read_safetensors

_DEEPEST = 16


def read_state_dict(path: str | Path) -> dict[str, Any]:
    """Read the weights in a file.

    A `.safetensors` file needs no torch; any other is read as `torch.load(weights_only=True)`
    reads what `torch.save` wrote, after a look at its checksums. (safetensors has none, so that
    a flipped bit among its numbers cannot be noticed.)

    Args:
      path: the file.

    Returns:
      Names to arrays (`.safetensors`) or to tensors. Of a checkpoint with dictionaries inside,
      such as {"model": {"lstm.weight_ih_l0": …}, "epoch": 3}, names are joined by dots, as in
      "model.lstm.weight_ih_l0", and what has no name or is no tensor is left out.

    Raises:
      CorruptFileError: if the file is damaged, or not what it should be.
      ModelFileError: if it cannot be read, or holds more than tensors and plain containers.
      MissingExtraError: if torch is needed and not installed.

    Example:
      >>> import pathlib, tempfile, torch
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "model.pt"
      ...     torch.save({"model": torch.nn.Linear(2, 1).state_dict(), "epoch": 3}, path)
      ...     list(read_state_dict(path))
      ['model.weight', 'model.bias']
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_torch(path)
    except ModelFileError as error:
        raise type(error)(f"'{path}': {error}") from error


def _read_safetensors(path):
    texts, arrays = read_safetensors(path)
    if "jaxrnn_format" in texts:
        raise ModelFileError(
            "a model file of jaxrnn, not of torch; read it with jaxrnn.model_file.load_model."
        )
    return arrays


def _read_torch(path):
    torch = library()
    check_readable(path)
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Torch has many, and which one is said nowhere.
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise ModelFileError(
                f"holds more than tensors and plain containers, namely {found[1]:.80}, and what "
                "makes objects can run programs; have it saved as "
                "torch.save(module.state_dict(), path)."
            ) from error
        first = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise CorruptFileError(f"not a state dict, or damaged ({first:.200}).") from error
    if not isinstance(content, Mapping):
        raise ModelFileError(
            f"holds a value of type {type(content).__name__}; expected a state dict, as from "
            "torch.save(module.state_dict(), path)."
        )
    tensors = _tensors(content)
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_BYTES:
        raise ModelFileError(
            f"says that its tensors are larger than the {MAX_BYTES:,} bytes that are read."
        )
    return tensors


def _check_archive(path):
    """A look at sizes and checksums, which torch itself does not verify."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            damaged = archive.testzip() if size <= MAX_BYTES else None
    except Exception as error:  # Whatever a damaged archive makes zipfile raise.
        raise CorruptFileError(
            "not a file of torch.save, or damaged, or older than torch 1.6; if it is old and "
            "sound, load it with torch.load(path, weights_only=True) and save it anew."
        ) from error
    if size > MAX_BYTES:
        raise ModelFileError(f"holds more than the {MAX_BYTES:,} bytes that are read.")
    if damaged is not None:
        raise CorruptFileError(
            f"damaged after it was written: the checksum of {damaged!r:.80} does not match."
        )


def _tensors(content):
    """All tensors in dictionaries within dictionaries, by their path."""
    tensors: dict[str, Any] = {}
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 1)]
    seen = {id(content)}
    while waiting:
        prefix, mapping, depth = waiting.pop()
        inside = []
        for key, value in mapping.items():
            if not isinstance(key, str):
                continue
            name = prefix + key
            if is_tensor(value):
                if name in tensors:
                    raise ModelFileError(f"holds two tensors by the name of {name!r:.80}.")
                tensors[name] = value
            elif isinstance(value, Mapping):
                # A pickle may hold one dictionary in many places, or within itself.
                if id(value) in seen or depth == _DEEPEST:
                    raise ModelFileError(
                        f"its dictionaries are nested more than {_DEEPEST} deep, or one stands "
                        f"in two places, as at {name!r:.80}; expected a state dict."
                    )
                seen.add(id(value))
                inside.append((f"{name}.", value, depth + 1))
        waiting += reversed(inside)
    if not tensors:
        raise ModelFileError("holds no tensors by name; expected a state dict.")
    return tensors
