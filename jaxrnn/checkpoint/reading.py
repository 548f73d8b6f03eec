"""Reading a checkpoint that may be damaged, foreign or forged: what was saved, or an error."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.cell import named_leaves
from jaxrnn.checkpoint.seal import NAME, check_seal
from jaxrnn.errors import CheckpointError, CorruptFileError

PARTS = ("state", "record")


class Record(NamedTuple):
    """What a checkpoint says about itself."""

    content: dict[str, Any]
    score: float | None
    arrays: dict[str, dict[str, Any]]  # dtype, shape and SHA-256 by name


class Loaded(NamedTuple):
    """What a checkpoint holds."""

    tree: Any
    content: dict[str, Any]


def is_checkpoint(path: str | Path) -> bool:
    """Whether this is the folder of a checkpoint, damaged or not."""
    return (Path(path) / NAME).is_file()


def load_checkpoint(path: str | Path, like: Any) -> Loaded:
    """Read a checkpoint and prove that it is what was saved.

    Args:
      path: its folder.
      like: a tree of arrays or of `jax.ShapeDtypeStruct`, as the saved one was.

    Returns:
      The tree, of NumPy arrays, and what the writer said of it.

    Raises:
      CorruptFileError: if the checkpoint was damaged after it was written.
      CheckpointError: if there is none, or its arrays are not those of `like`.
    """
    record = read_record(path)
    leaves = named_leaves(like)
    expected = {name: _facts(leaf) for name, leaf in leaves}
    for name in expected | record.arrays:
        saved, given = _shown(record.arrays.get(name)), _shown(expected.get(name))
        if saved != given:
            raise CheckpointError(
                f"'{path}': the array {name!r:.80} is {saved} in the checkpoint, and {given} here."
            )
    arrays = load_arrays(path, record)
    in_order = [arrays[name] for name, _ in leaves]
    return Loaded(jax.tree.unflatten(jax.tree.structure(like), in_order), record.content)


def load_arrays(path: str | Path, record: Record) -> dict[str, np.ndarray]:
    """Read the arrays of a checkpoint by their names.

    Args:
      path: its folder.
      record: what `read_record` read there.

    Returns:
      NumPy arrays, each proven by its SHA-256.

    Raises:
      CorruptFileError: if the checkpoint is not what its record says.
    """
    from jaxrnn.checkpoint import orbax_files  # takes a second to import

    shapes = {name: tuple(array["shape"]) for name, array in record.arrays.items()}
    try:
        facts = orbax_files.array_facts(Path(path) / "state")
        for name, shape in shapes.items():
            # Compared before anything is read: a forged size would be allocated.
            if 0 not in shape and not facts[name].shape == facts[name].chunk_shape == shape:
                raise CorruptFileError(f"{name!r:.80} has another shape in its file")
        arrays = orbax_files.read_arrays(Path(path) / "state", facts)
        for name, shape in shapes.items():
            if 0 in shape:  # Orbax keeps no empty arrays; what they hold is known without.
                arrays[name] = np.zeros(shape, record.arrays[name]["dtype"])
            if describe_array(arrays[name]) != record.arrays[name]:
                raise CorruptFileError(f"the SHA-256 of {name!r:.80} differs")
    except Exception as error:  # whatever a forged file makes of a library that expects none
        raise _not_sound(path, error) from error
    return arrays


def read_record(path: str | Path) -> Record:
    """Read what a checkpoint says about itself, and see whether its files are undamaged.

    Args:
      path: its folder.

    Raises:
      CorruptFileError: if it was damaged after it was written.
      CheckpointError: if this is no checkpoint, or one of another version.
    """
    from jaxrnn.checkpoint import orbax_files

    check_seal(Path(path), PARTS)
    try:
        match orbax_files.read_record(Path(path) / "record"):
            case {"content": dict(content), "score": score, "arrays": dict(arrays), **rest}:
                fits = score is None or isinstance(score, float)
                if fits and not rest and all(map(_is_described, arrays.values())):
                    return Record(content, score, arrays)
        raise CorruptFileError("its record says something else than what is known here")
    except Exception as error:
        raise _not_sound(path, error) from error


def describe_array(array: np.ndarray) -> dict[str, Any]:
    """Dtype, shape and SHA-256 of an array, as they stand in a record.

    Example:
      >>> describe_array(np.zeros((2, 3)))["shape"]
      [2, 3]
    """
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # bfloat16 has no buffer
    return _facts(array) | {"sha256": hashlib.sha256(raw).hexdigest()}


def _facts(leaf):
    return {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}


def _shown(facts):
    return f"{facts['dtype']}{facts['shape']}" if facts else "missing"


def _is_described(array):
    match array:
        case {"dtype": str(), "shape": list(shape), "sha256": str(), **rest} if not rest:
            return all(isinstance(size, int) and size >= 0 for size in shape)
    return False


def _not_sound(path, error):
    first_line = next(iter(str(error).splitlines()), type(error).__name__)
    return CorruptFileError(f"'{path}' is not a sound checkpoint ({first_line:.200}).")
