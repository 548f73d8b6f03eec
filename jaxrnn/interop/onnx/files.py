"""ONNX files: read as data of unknown origin, written whole or not at all, with a digest.

A file that jaxrnn wrote holds, under `jaxrnn.sha256` in its metadata, a SHA-256 over all the rest
of it; a file that names this key, or jaxrnn as its producer, and does not match is refused.
"""

import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.atomic_file import check_readable, write_atomically
from jaxrnn.errors import ConversionError, CorruptFileError, MissingExtraError, ModelFileError

PRODUCER = "jaxrnn"
DIGEST = "jaxrnn.sha256"


def library() -> Any:
    """The package `onnx`.

    Raises:
      MissingExtraError: if it is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 -- asked for only when used
    except ImportError as error:
        raise MissingExtraError("onnx", extra="onnx") from error
    return onnx


def read_model(path: str | Path) -> Any:
    """The `onnx.ModelProto` in a file, with its digest verified where it has one.

    Raises:
      CorruptFileError: if it is damaged, or no ONNX file.
      ModelFileError: if it cannot be read.
    """
    path = Path(path)
    try:
        return _read(path)
    except ModelFileError as error:
        raise type(error)(f"'{path}': {error}") from error


def parse_model(raw: bytes) -> Any:
    """The `onnx.ModelProto` in bytes; as `read_model` otherwise."""
    try:
        model = library().ModelProto.FromString(raw)
    except Exception as error:  # protobuf has its own, which differ between its versions
        raise CorruptFileError(f"no ONNX model, or damaged ({error}).") from error
    if not model.HasField("graph"):
        raise CorruptFileError("no ONNX model, or damaged: it has no graph.")
    digests = [entry.value for entry in model.metadata_props if entry.key == DIGEST]
    # Looked for in the bytes: behind a wrong length its entry may be read as something else.
    ours = model.producer_name == PRODUCER or DIGEST.encode() in raw
    if ours and digests != [_digest(model)]:
        raise CorruptFileError("damaged after it was written: its SHA-256 does not match.")
    return model


def write_model(path: str | Path, model: Any) -> None:
    """Write an `onnx.ModelProto` with its digest.

    Raises:
      ModelFileError: if the file cannot be written.
    """
    model.producer_name = PRODUCER
    model.metadata_props.add(key=DIGEST, value=_digest(model))
    try:
        raw = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's own; it takes no more than 2 GiB
        raise ModelFileError(
            f"'{path}': ONNX holds no model as large as this ({error})."
        ) from error
    write_atomically(path, raw, verify=_read)


def constant(tensor: Any) -> np.ndarray:
    """The numbers of an `onnx.TensorProto`.

    Raises:
      ConversionError: if they stand in another file, or are not what the tensor says.
    """
    onnx = library()
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ConversionError(
            f"the tensor {tensor.name!r:.60} stands in another file, which is not read; save the "
            "model as one file, with onnx.save(model, path, save_as_external_data=False)."
        )
    size = 1
    for length in tensor.dims:
        size *= length
    held = len(tensor.raw_data) or max(
        len(tensor.float_data),
        len(tensor.double_data),
        len(tensor.int32_data),
        len(tensor.int64_data),
        len(tensor.uint64_data),
    )
    if any(length < 0 for length in tensor.dims) or size > max(held, 1):
        raise ConversionError(
            f"the tensor {tensor.name!r:.60} says shape {list(tensor.dims)}, but holds less."
        )
    try:
        if tensor.data_type == onnx.TensorProto.BFLOAT16:
            return _bfloat16(tensor)
        return np.array(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # whatever a damaged tensor makes the library raise
        raise ConversionError(
            f"the tensor {tensor.name!r:.60} cannot be read ({error})."
        ) from error


def _bfloat16(tensor):
    """Read here, because onnx before 1.19 makes float32 of it."""
    bits = np.array(tensor.int32_data, np.uint16)
    if tensor.raw_data:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint16)
    return bits.view(jnp.bfloat16).reshape(tuple(tensor.dims))


def _read(path):
    check_readable(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot be read ({error.strerror or error}).") from error
    return parse_model(raw)


def _digest(model):
    """Over everything but the digest itself, in protobuf's one deterministic form."""
    copy = type(model)()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    copy.metadata_props.extend(entry for entry in model.metadata_props if entry.key != DIGEST)
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()
