"""Keras itself: found, called by its names, and its activations known."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.errors import ConversionError, MissingExtraError


def the_library() -> Any:
    """Keras, or the sentence that says why there is none."""
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise MissingExtraError("keras", extra="keras") from error
        raise ConversionError(
            f"keras cannot be imported for want of {error.name}, its backend; set the environment "
            "variable KERAS_BACKEND to one that is installed, such as jax, before it is imported."
        ) from error
    return keras


def activations(keras: Any) -> dict[Any, Any]:
    """Keras's activations by ours: those alone that are the same function, slopes and all."""
    theirs = keras.activations
    return {
        jnp.tanh: theirs.tanh,
        jax.nn.relu: theirs.relu,
        jax.nn.sigmoid: theirs.sigmoid,
        jax.nn.softplus: theirs.softplus,
        jax.nn.soft_sign: theirs.softsign,
        jax.nn.elu: theirs.elu,
        jax.nn.selu: theirs.selu,
        jax.nn.silu: theirs.silu,
        jax.nn.identity: theirs.linear,
    }


def called(function: Any) -> str:
    """The name of a function, for messages."""
    return getattr(function, "__name__", repr(function))


def label(layer: Any) -> str:
    """What a layer is, and its name, for messages."""
    name = getattr(layer, "name", None)
    return f"keras {type(layer).__name__} {name!r}" if name else type(layer).__name__
