"""Model files: a network and its parameters in one safetensors file that proves its own integrity.

The header holds the description of the network (see `jaxrnn.description`), further metadata, and a
SHA-256 over all of it: metadata and the name, dtype, shape and bytes of every array. safetensors by
itself does not notice a flipped bit. Nothing in a file is ever executed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from jaxrnn.atomic_file import check_readable, write_atomically
from jaxrnn.atomic_file import check_writable as check_writable
from jaxrnn.cell import Layer, named_leaves, specification
from jaxrnn.description import describe, from_description
from jaxrnn.errors import CorruptFileError, ModelFileError
from jaxrnn.networks.border import check_layer

FORMAT = "1"
_TEXTS = ("jaxrnn_format", "network", "metadata")  # header entries under the digest


class SavedModel(NamedTuple):
    """What a model file holds."""

    network: Layer
    params: Any
    metadata: dict[str, Any]


def save_model(path: str | Path, network: Layer, params: Any, **metadata: Any) -> None:
    """Write a network and its parameters to a file.

    The file appears under its name only when it is complete, on the disk, and read back equal: a
    crash in between leaves the old file as it was.

    Args:
      path: where to; an existing file is replaced.
      network: the layer; its classes must be known to `jaxrnn.description`.
      params: parameters of exactly this network.
      **metadata: JSON-able values to keep beside them.

    Raises:
      TypeError: if `network` is no cell and no network.
      ModelFileError: if the parameters are not the network's, something cannot be described, or the
        file cannot be written.

    Example:
      >>> import tempfile, jaxrnn
      >>> cell = jaxrnn.GRU(3, 4)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "model.safetensors"
      ...     save_model(path, cell, cell.init(jax.random.key(0)), note="untrained")
      ...     network, params, metadata = load_model(path)
      >>> network, metadata
      (GRU(input_size=3, hidden_size=4), {'note': 'untrained'})
    """
    check_layer(network)
    # Contiguous, because safetensors writes the memory of a transposed array as it lies.
    leaves = named_leaves(params)
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in leaves}
    if len(arrays) < len(leaves):  # {"a.b": …} beside {"a": {"b": …}}
        raise ModelFileError(f"two parameters have the same name: {sorted(n for n, _ in leaves)}.")
    _check_arrays(network, arrays)
    texts = {
        "jaxrnn_format": FORMAT,
        "network": json.dumps(describe(network)),
        "metadata": _to_json(metadata),
    }
    header = texts | {"sha256": _digest(texts, arrays)}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header), _read_verified)


def load_model(path: str | Path) -> SavedModel:
    """Read a file that `save_model` wrote.

    Args:
      path: the file.

    Returns:
      The network, its parameters in the dtype they were saved in, and the metadata.

    Raises:
      CorruptFileError: if the file was damaged after it was written.
      ModelFileError: if it is missing, unreadable, no model file, or of another version.
    """
    path = Path(path)
    try:
        texts, arrays = _read_verified(path)
        network = from_description(_from_json(texts["network"]))
        params = _restore(network, arrays)
        metadata = _from_json(texts["metadata"])
        if not isinstance(metadata, dict):
            raise ModelFileError(f"its metadata is no dictionary, but {metadata!r:.80}.")
    except ModelFileError as error:
        raise type(error)(f"'{path}': {error}") from error
    return SavedModel(network=network, params=params, metadata=metadata)


def _read_verified(path):
    texts, arrays = read_safetensors(path)
    if "jaxrnn_format" not in texts:
        raise ModelFileError("a safetensors file, but not one that jaxrnn wrote.")
    if texts["jaxrnn_format"] != FORMAT:
        # Asked before the digest, whose recipe belongs to the version.
        raise ModelFileError(
            f"format version {texts['jaxrnn_format']!r:.20}, but this jaxrnn reads {FORMAT!r}: "
            "the file was written by another version, or damaged."
        )
    sha256 = texts.pop("sha256", None)
    if set(texts) != set(_TEXTS) or sha256 != _digest(texts, arrays):
        raise CorruptFileError("damaged after it was written: its SHA-256 does not match.")
    return texts, arrays


def read_safetensors(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the arrays of a safetensors file, whoever wrote it.

    Raises:
      CorruptFileError: if it is damaged, or no such file.
      ModelFileError: if it cannot be read.
    """
    check_readable(path)
    try:
        # `safe_open` rather than `safetensors.numpy.load`, which does not know bfloat16.
        with safetensors.safe_open(path, framework="np") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise ModelFileError(f"cannot be read ({error.strerror or error}).") from error
    except safetensors.SafetensorError as error:
        raise CorruptFileError(
            f"not a model file, or damaged after it was written ({error})."
        ) from error
    except AttributeError as error:  # What safetensors makes of numbers of 8 bits and less.
        raise ModelFileError(f"holds a dtype that NumPy does not have ({error}).") from error


def _restore(network, arrays):
    _check_arrays(network, arrays)
    leaves = {name: jnp.asarray(array) for name, array in arrays.items()}
    for name, leaf in leaves.items():
        if leaf.dtype != arrays[name].dtype:
            raise ModelFileError(
                f"it holds {arrays[name].dtype} numbers, which this JAX would round to "
                f'{leaf.dtype}: call jax.config.update("jax_enable_x64", True) first.'
            )
    expected = _specification(network)
    in_order = [leaves[name] for name, _ in named_leaves(expected)]
    return jax.tree.unflatten(jax.tree.structure(expected), in_order)


def _specification(network):
    try:
        return specification(network)
    except Exception as error:  # whatever a hostile description makes a layer do
        raise ModelFileError(f"its network cannot be built ({error}).") from error


def _check_arrays(network, arrays):
    expected = {name: leaf.shape for name, leaf in named_leaves(_specification(network))}
    given = {name: array.shape for name, array in arrays.items()}
    wrong = [name for name in expected | given if expected.get(name) != given.get(name)]
    if wrong:
        name = min(wrong)
        raise ModelFileError(
            f"the parameters do not belong to the network: {name!r:.80} should have shape "
            f"{expected.get(name, 'none')}, but has {given.get(name, 'none')}."
        )


def _digest(texts, arrays):
    digest = hashlib.sha256()

    def add(part):  # with its length, so that no two lists of parts are read as the same bytes
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    for name in _TEXTS:
        add(texts.get(name, "").encode())
    for name, array in sorted(arrays.items()):
        for text in (name, str(array.dtype), str(array.shape)):
            add(text.encode())
        add(array.tobytes())
    return digest.hexdigest()


def _to_json(metadata):
    try:
        return json.dumps(metadata, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the metadata cannot be written as JSON: {error}.") from error


def _from_json(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"its header is no JSON ({error}).") from error
