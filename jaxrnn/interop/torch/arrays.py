"""Numbers between torch and JAX: copied, because torch trains in place, in the dtype they have."""

import sys
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import named_leaves
from jaxrnn.errors import ConversionError, MissingExtraError
from jaxrnn.interop.weights import check_known, exact

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


def shape_of(what: str, value: Any) -> tuple[int, ...]:
    """The shape of a tensor or an array, without a look at its numbers.

    Args:
      what: what it is, for messages.
      value: the tensor or array.

    Raises:
      ConversionError: if it is none.
    """
    if is_tensor(value) or isinstance(value, np.ndarray | jax.Array):
        return tuple(value.shape)
    raise ConversionError(
        f"{what} is a value of type {type(value).__name__}; expected a tensor or an array."
    )


def as_array(what: str, value: Any) -> jax.Array:
    """A copy of a tensor or an array, as one of JAX's, in the dtype it has.

    Args:
      what: what it is, for messages.
      value: the tensor or array.

    Raises:
      ConversionError: if it is none, or its numbers cannot be seen or would be rounded.
    """
    shape_of(what, value)
    if is_tensor(value):
        value = _from_tensor(what, value)
    return exact(what, value)  # Which copies.


def _from_tensor(what, tensor):
    torch = library()
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise ConversionError(
            f"{what} is a {type(tensor).__name__}, whose numbers mean something only to it; "
            "make it a plain tensor first."
        )
    if tensor.is_meta:
        raise ConversionError(
            f"{what} is on the device 'meta', so it has no numbers; load weights into it first."
        )
    if tensor.layout != torch.strided:
        raise ConversionError(f"{what} is a sparse tensor; give a dense one, by .to_dense().")
    _check_dtype(what, str(tensor.dtype).removeprefix("torch."))
    tensor = tensor.detach().cpu().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:  # NumPy knows it by JAX's name only: bits are handed on.
        return tensor.view(torch.int16).numpy().view(_BFLOAT16)
    return tensor.numpy()


def numbers_of(what: str, tree: Any) -> Any:
    """Parameters or a carry as NumPy arrays.

    Args:
      what: which of the two, for messages.
      tree: the parameters or the carry.

    Raises:
      ConversionError: if they are traced, so that their numbers are not known, or torch has no
        such dtype.
    """
    check_known(tree, what)
    for name, leaf in named_leaves(tree):
        _check_dtype(f"{what} `{name}`", leaf.dtype.name)
    return jax.tree.map(np.asarray, tree)


def as_tensor(array: np.ndarray) -> Any:
    """A contiguous copy, as a tensor."""
    torch = library()
    array = np.array(array, order="C")
    if array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _check_dtype(what, dtype):
    if dtype not in _FLOATS:
        raise ConversionError(
            f"{what} has dtype {dtype}; expected one of {', '.join(_FLOATS)}: dequantize or cast "
            "it first."
        )
