"""What conversions share: weights are looked at before they are touched, layers are refused."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.errors import ConversionError
from jaxrnn.interop.parts import Part
from jaxrnn.networks import (
    LearnedCarry,
    MixedPrecision,
    OneHot,
    Residual,
    Stack,
    StackParams,
    border,
    stack,
)
from jaxrnn.wrappers import Zoneout


def take(
    owner: str, weights: Mapping[str, Any], shapes: Mapping[str, tuple[int | None, ...]]
) -> dict[str, jax.Array]:
    """The weights of one layer, after a look at their names, shapes and dtypes.

    Traced values are let through, so that a conversion may stand inside `jax.jit` or `jax.grad`.

    Args:
      owner: what the weights belong to, for messages.
      weights: arrays by name.
      shapes: the shape of each weight that has to be there; None where any size will do.

    Returns:
      The weights as JAX arrays, each in its own dtype.

    Raises:
      ConversionError: if a weight is missing, unexpected, of another shape, not floating-point, or
        float64 while JAX has no such numbers.

    Example:
      >>> import numpy as np
      >>> take("the layer", {"bias": np.zeros(3)}, {"bias": (4,)})
      Traceback (most recent call last):
      jaxrnn.errors.ConversionError: the layer: weight 'bias' has shape (3,); expected (4,).
    """
    expected = ", ".join(shapes)
    for name in sorted({*weights} ^ {*shapes}):
        missing = "is missing" if name in shapes else "is not known here"
        raise ConversionError(f"{owner}: weight {name!r} {missing}; expected {expected}.")
    return {name: _checked(owner, name, weights[name], shapes[name]) for name in shapes}


def belongs(network: Layer, params: Any) -> None:
    """Raise `ConversionError` unless these are parameters of the network.

    Example:
      >>> import jaxrnn
      >>> belongs(jaxrnn.OneHot(3), ())
    """
    border.check_layer(network)
    try:
        border.check_params(network, params)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConversionError(str(error)) from error


def chain(links: Sequence[Part]) -> tuple[Stack, StackParams]:
    """Layers that were taken over one by one, on top of each other, from the lowest up.

    Raises:
      ConversionError: if two neighbours do not fit, or there is no layer.

    Example:
      >>> import jaxrnn
      >>> chain([Part(jaxrnn.OneHot(3), ())])
      (Stack(layers=(OneHot(input_size=3),)), StackParams(layers=((),)))
    """
    layers = [layer for layer, _ in links]
    for layer in layers[1:]:
        if layer.takes_tokens:
            raise ConversionError(
                f"{layer!r} reads token ids, and stands above another layer, which writes vectors; "
                "expected the layers from the lowest up."
            )
    try:
        network = stack(*layers)
    except ValueError as error:
        raise ConversionError(str(error)) from error
    return network, StackParams(layers=tuple(params for _, params in links))


def refuse(layer: Layer, library: str, reasons: Mapping[type, str]) -> NoReturn:
    """Raise the `ConversionError` that says why a layer does not exist elsewhere.

    Args:
      layer: what cannot be exported.
      library: where to.
      reasons: by class of layer; one clause each.
    """
    reason = {**_REASONS, **reasons}.get(type(layer), f"{library} has nothing with its equations")
    raise ConversionError(f"{layer!r} cannot be exported to {library}: {reason}.")


def _checked(owner, name, weight, shape):
    given = jnp.shape(weight)
    if len(given) != len(shape) or any(
        want not in (None, size) for size, want in zip(given, shape, strict=True)
    ):
        wanted = str(tuple("any" if size is None else size for size in shape)).replace("'", "")
        raise ConversionError(f"{owner}: weight {name!r} has shape {given}; expected {wanted}.")
    dtype = getattr(weight, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ConversionError(
            f"{owner}: weight {name!r} has dtype {dtype}; expected an array of floating-point "
            "numbers."
        )
    array = jnp.asarray(weight)
    if array.dtype != dtype:
        raise ConversionError(
            f"{owner}: weight {name!r} holds {dtype} numbers, which this JAX would round to "
            f'{array.dtype}: call jax.config.update("jax_enable_x64", True) first.'
        )
    return array


_INSIDE = "export the layer inside"
_REASONS: dict[type, str] = {
    LearnedCarry: f"a learned start has no place there; {_INSIDE}, and hand params.start over as "
    "the initial state",
    Residual: f"no layer has a path around it there; {_INSIDE}, and add what it reads to what it "
    "writes",
    MixedPrecision: f"what to compute in is the other library's choice; {_INSIDE}",
    Zoneout: "without a key it mixes old and new states by its rates, and nothing there does",
    OneHot: "it has no weights; export the layers above it, and feed them unit vectors",
}
