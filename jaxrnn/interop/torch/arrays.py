"""Numbers between torch and JAX: copied, because torch trains in place, in the dtype they have."""

import sys
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import named_leaves
from jaxrnn.errors import ConversionError, MissingExtraError

_BFLOAT16 = np.dtype(jnp.bfloat16)
_FLOATS = ("bfloat16", "float16", "float32", "float64")


def library() -> ModuleType:
    """The package `torch`.

    Raises:
      MissingExtraError: if it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", extra="torch") from error
    return torch


def is_tensor(value: Any) -> bool:
    """Whether `value` is torch's; where torch was never imported, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(name: str, value: Any) -> np.ndarray | jax.Array:
    """A copy of a tensor or an array, as an array; what is JAX's own is never changed, and stays.

    Args:
      name: of what it is, for messages.
      value: the tensor or array.

    Raises:
      ConversionError: if it is none, or its numbers cannot be seen.
    """
    if is_tensor(value):
        return _from_tensor(name, value)
    if isinstance(value, np.ndarray):
        return np.array(value, order="C")
    if isinstance(value, jax.Array):
        return value
    raise ConversionError(
        f"{name!r} is a value of type {type(value).__name__}; expected a tensor or an array."
    )


def _from_tensor(name, tensor):
    torch = library()
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise ConversionError(
            f"{name!r} is a {type(tensor).__name__}, whose numbers mean something only to it; "
            "make it a plain tensor first."
        )
    if tensor.is_meta:
        raise ConversionError(
            f"{name!r} is on the device 'meta', so it has no numbers; load weights into it first."
        )
    if tensor.layout != torch.strided:
        raise ConversionError(f"{name!r} is a sparse tensor; give a dense one, by .to_dense().")
    _check_dtype(name, str(tensor.dtype).removeprefix("torch."))
    tensor = tensor.detach().cpu().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:  # NumPy knows it by JAX's name only: bits are handed on.
        return tensor.view(torch.int16).numpy().view(_BFLOAT16).copy()
    return tensor.numpy().copy()


def numbers_of(tree: Any) -> Any:
    """Parameters or a carry as NumPy arrays.

    Raises:
      ConversionError: if they are traced, so that their numbers are not known, or torch has no
        such dtype.
    """
    for name, leaf in named_leaves(tree):
        if isinstance(leaf, jax.core.Tracer):
            raise ConversionError(
                f"{name!r} is a traced value without numbers, as inside jax.jit; convert outside "
                "of it."
            )
        _check_dtype(name, leaf.dtype.name)
    return jax.tree.map(np.asarray, tree)


def as_tensor(array: np.ndarray) -> Any:
    """A contiguous copy, as a tensor."""
    torch = library()
    array = np.array(array, order="C")
    if array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _check_dtype(name, dtype):
    if dtype not in _FLOATS:
        raise ConversionError(
            f"{name!r} has dtype {dtype}; expected one of {', '.join(_FLOATS)}: dequantize or cast "
            "it first."
        )
