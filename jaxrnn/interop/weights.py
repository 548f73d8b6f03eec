"""What conversions share: weights are looked at before they are touched, layers are refused."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer, named_leaves
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
      ConversionError: if weights are missing, unexpected or of another shape, each of them named,
        or one is not floating-point, or float64 while JAX has no such numbers.

    Example:
      >>> import numpy as np
      >>> take("the layer", {"bias": np.zeros(3)}, {"bias": (4,)})
      Traceback (most recent call last):
      jaxrnn.errors.ConversionError: the layer: weight 'bias' has shape (3,); expected (4,).
    """
    check_shapes(owner, {name: jnp.shape(weight) for name, weight in weights.items()}, shapes)
    return {name: exact(f"{owner}: weight {name!r}", weights[name]) for name in shapes}


def check_shapes(
    owner: str,
    given: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int | None, ...]],
) -> None:
    """Raise `ConversionError` unless weights have the names and shapes they have to, as in `take`.

    Example:
      >>> check_shapes("the layer", {"bias": (4,)}, {"bias": (None,)})
    """
    wrong = [f"weight {name!r} is missing" for name in shapes if name not in given]
    wrong += [f"weight {name!r} is not known here" for name in given if name not in shapes]
    if wrong:
        raise ConversionError(f"{owner}: {listed(wrong)}; expected {listed(shapes)}.")
    wrong = [
        f"weight {name!r} has shape {given[name]}; expected {_wanted(shape)}"
        for name, shape in shapes.items()
        if not _fits(given[name], shape)
    ]
    if wrong:
        raise ConversionError(f"{owner}: {listed(wrong)}.")


def exact(what: str, numbers: Any) -> jax.Array:
    """A copy of an array as one of JAX's, in the dtype it has.

    It shares no memory, so that a training step may donate either side and leave the other whole.

    Args:
      what: what it is, for messages.
      numbers: the array.

    Raises:
      ConversionError: if it is not floating-point, or float64 while JAX has no such numbers.

    Example:
      >>> import numpy as np
      >>> exact("the bias", np.zeros(2, "float16")).dtype
      dtype('float16')
    """
    if not isinstance(numbers, jax.Array | np.ndarray):
        raise ConversionError(
            f"{what} is a value of type {type(numbers).__name__}; expected an array of numbers."
        )
    dtype = numbers.dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ConversionError(
            f"{what} has dtype {dtype}; expected an array of floating-point numbers."
        )
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ConversionError(
            f"{what} holds {dtype} numbers, which this JAX would round to "
            f"{jax.dtypes.canonicalize_dtype(dtype)}: call "
            'jax.config.update("jax_enable_x64", True) first.'
        )
    return jnp.array(numbers)


def listed(items: Iterable[str], most: int = 12) -> str:
    """Items for a message, which a thousand of them would not make clearer.

    Example:
      >>> listed(["a", "b", "c", "d"], most=2)
      'a, b and 2 more'
    """
    items = list(items)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(f"{item:.200}" for item in items[:most]) + more


def belongs(network: Layer, params: Any) -> None:
    """Raise unless this is a network, and these are parameters of it, with numbers.

    Raises:
      TypeError: if it is no cell and no network.
      ConversionError: if the parameters are another's, or shapes alone.

    Example:
      >>> import jaxrnn
      >>> belongs(jaxrnn.OneHot(3), ())
    """
    border.check_layer(network)
    try:
        border.check_params(network, params)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConversionError(str(error)) from error
    for name, leaf in named_leaves(params):
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise ConversionError(
                f"{network!r}: parameter `{name}` is a {type(leaf).__name__}; expected an array of "
                "numbers, as from layer.init(key)."
            )


def check_known(tree: Any, what: str = "parameter") -> None:
    """Raise `ConversionError` if arrays are traced, for libraries that need numbers at once.

    Example:
      >>> check_known({"bias": jnp.zeros(3)})
    """
    for name, leaf in named_leaves(tree):
        if isinstance(leaf, jax.core.Tracer):
            raise ConversionError(
                f"{what} `{name}` is a traced value without numbers, as inside jax.jit; convert "
                "outside of it."
            )


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


def _fits(given, shape):
    return len(given) == len(shape) and all(
        want in (None, size) for size, want in zip(given, shape, strict=True)
    )


def _wanted(shape):
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")


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
