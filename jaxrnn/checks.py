"""Checks of what a description is made from; sequences are checked in `networks/border.py`."""

import dataclasses
import numbers
from typing import Any


def check_flags(owner: Any, **flags: Any) -> None:
    """Raise TypeError unless every flag is True or False.

    Example:
      >>> check_flags(object(), use_bias=1)
      Traceback (most recent call last):
      TypeError: object: use_bias must be True or False, got 1.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name_of(owner)}: {name} must be True or False, got {flag!r}.")


def check_options(cell: Any) -> None:
    """Raise TypeError unless the initializers of a cell can be called and its biases make sense.

    Looks at the fields `use_bias`, `forget_bias` and those whose names end in `_init`.

    Example:
      >>> import jaxrnn
      >>> jaxrnn.LSTM(3, 4, forget_bias="high")
      Traceback (most recent call last):
      TypeError: LSTM: forget_bias must be a number, got 'high'.
    """
    for field in dataclasses.fields(cell):
        name, value = field.name, getattr(cell, field.name)
        if name == "use_bias":
            check_flags(cell, use_bias=value)
        elif name == "forget_bias" and (
            isinstance(value, bool) or not isinstance(value, numbers.Real)
        ):
            raise TypeError(f"{name_of(cell)}: {name} must be a number, got {value!r}.")
        elif name.endswith("_init") and not callable(value):
            raise TypeError(
                f"{name_of(cell)}: {name} must be an initializer such as "
                f"jaxrnn.initializers.Glorot(), got {value!r}."
            )


def check_sizes(owner: Any, **sizes: Any) -> None:
    """Raise unless every size is a positive integer.

    Args:
      owner: the description that is being made, whose type is named in the message, or the name of
        the function that makes it.
      **sizes: what to check, by field name.

    Raises:
      TypeError: if a size is not an integer (True and 4.0 are not).
      ValueError: if a size is not positive.

    Example:
      >>> check_sizes(object(), hidden_size=0)
      Traceback (most recent call last):
      ValueError: object: hidden_size must be a positive integer, got 0.
    """
    for name, size in sizes.items():
        problem = f"{name_of(owner)}: {name} must be a positive integer, got {size!r}."
        if isinstance(size, bool) or not isinstance(size, numbers.Integral):
            raise TypeError(problem)
        if size <= 0:
            raise ValueError(problem)


def name_of(owner: Any) -> str:
    """What messages call a description that is being made, or (a string) the function making it."""
    return owner if isinstance(owner, str) else type(owner).__name__
