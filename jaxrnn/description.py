"""Layers as plain data: what is needed to write a network to a file without writing code to it.

A description is looked up in a table and never executed. Library layers, initializers, activations
and merges are in the table; `register` adds your own.
"""

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import cells, initializers, networks, wrappers
from jaxrnn.errors import ModelFileError

Registered = TypeVar("Registered")

_MAX_DEPTH = 32  # of nested layers: deeper than any network, shallower than Python's own limit

_KNOWN: dict[str, Any] = {}


def register(known: Registered, name: str | None = None) -> Registered:
    """Make a layer class, an initializer class or a function known to model files, by its name.

    Both the program that writes the file and the one that reads it must do so.

    Args:
      known: a frozen dataclass, or a function that is a field of one (an activation, a merge).
      name: the name in the file; its `__name__` if None.

    Returns:
      What was given, so that this may be used as a decorator.

    Raises:
      ValueError: if the name already means something else.

    Example:
      >>> import dataclasses, jaxrnn
      >>> @register
      ... @dataclasses.dataclass(frozen=True)
      ... class Half(jaxrnn.initializers.Initializer):
      ...     def __call__(self, key, shape, dtype=None):
      ...         return jnp.full(shape, 0.5, dtype)
      >>> describe(Half())
      {'type': 'Half'}
    """
    name = known.__name__ if name is None else name
    if _KNOWN.setdefault(name, known) is not known:
        raise ValueError(f"{name!r} is already registered for {_KNOWN[name]!r}; give another name.")
    return known


def describe(value: Any) -> Any:
    """JSON-able description of a layer.

    Args:
      value: a layer, or what a layer's field may hold.

    Returns:
      Dictionaries, lists, strings, numbers, booleans and None.

    Raises:
      ModelFileError: if a part of it is not registered.

    Example:
      >>> import jaxrnn
      >>> describe(jaxrnn.reverse(jaxrnn.OneHot(5)))
      {'type': 'Reverse', 'layer': {'type': 'OneHot', 'input_size': 5, 'dtype': None}}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return [describe(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"type": _name_of(type(value))} | {k: describe(v) for k, v in fields.items()}
    return {"function": _name_of(value)}


def from_description(description: Any) -> Any:
    """The layer that `describe` described.

    Args:
      description: what came out of a file, so nothing about it is taken for granted.

    Raises:
      ModelFileError: if it names something unknown, or what it describes is not valid.

    Example:
      >>> from_description({"type": "OneHot", "input_size": 5})
      OneHot(input_size=5)
    """
    return _read(description, depth=0)


def _read(description, depth):
    if depth > _MAX_DEPTH:
        raise ModelFileError(f"the description is nested more than {_MAX_DEPTH} deep.")
    match description:
        case None | bool() | int() | float() | str():
            return description
        case list(items):
            return tuple(_read(item, depth + 1) for item in items)
        case {"function": str(name), **rest} if not rest:
            return _function(name)
        case {"type": str(name), **fields}:
            return _dataclass(name, {k: _read(v, depth + 1) for k, v in fields.items()})
    raise ModelFileError(f"the description holds {description!r:.80}, which describes nothing.")


def _function(name):
    function = _KNOWN.get(name)
    if function is None or isinstance(function, type):
        raise ModelFileError(f"the description names the function {name!r:.80}; {_ADVICE}")
    return function


def _dataclass(name, fields):
    known = _KNOWN.get(name)
    if not isinstance(known, type):
        raise ModelFileError(f"the description names the type {name!r:.80}; {_ADVICE}")
    try:
        return known(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"the description makes no {name}: {error}") from error


def _name_of(known):
    for name, registered in _KNOWN.items():
        if registered is known:
            return name
    raise ModelFileError(f"{known!r} cannot be described; {_ADVICE}")


_ADVICE = "it is not known here: call `jaxrnn.description.register` with it first."


_LIBRARY = (
    cells.Elman,
    cells.LSTM,
    cells.GRU,
    cells.ResetBeforeGRU,
    cells.ProjectedLSTM,
    wrappers.StateDropout,
    wrappers.UpdateDropout,
    wrappers.Zoneout,
    networks.Stack,
    networks.Bidirectional,
    networks.Reverse,
    networks.Residual,
    networks.LearnedCarry,
    networks.SplitBias,
    networks.Embedding,
    networks.OneHot,
    networks.Linear,
    networks.Dropout,
    networks.VariationalDropout,
    networks.WeightDrop,
    networks.MixedPrecision,
    networks.concatenate,
    networks.add,
    initializers.Constant,
    initializers.Normal,
    initializers.TorchUniform,
    initializers.FanInUniform,
    initializers.Glorot,
    initializers.Orthogonal,
    initializers.Identity,
    jnp.tanh,
    jnp.sin,
    jax.nn.relu,
    jax.nn.sigmoid,
    jax.nn.gelu,
    jax.nn.silu,
    jax.nn.softplus,
    jax.nn.elu,
    jax.nn.leaky_relu,
)
for _known in _LIBRARY:
    register(_known)
