"""Where each of our parameters lies in Flax, and the numbers on their way.

Flax keeps the gates in our order, i, f, g, o and r, z, n, and only cuts them into blocks of their
own: a parameter of ours is Flax's blocks side by side.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer, named_leaves, specification
from jaxrnn.errors import ConversionError
from jaxrnn.interop.parts import Part
from jaxrnn.interop.weights import exact

Path = tuple[Any, ...]
Layout = Mapping[str, tuple[str, ...]]


def _gates(prefix: str, gates: str, leaf: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{gate}/{leaf}" for gate in gates)


# What every field of our parameters is made of; a bias stands on one side only, since both add up.
DENSE: Layout = {"kernel": ("kernel",), "bias": ("bias",)}
EMBED: Layout = {"table": ("embedding",)}
LINEN_LSTM: Layout = {
    "input_kernel": _gates("i", "ifgo", "kernel"),
    "recurrent_kernel": _gates("h", "ifgo", "kernel"),
    "bias": _gates("h", "ifgo", "bias"),
}
LINEN_SIMPLE: Layout = {
    "input_kernel": ("i/kernel",),
    "recurrent_kernel": ("h/kernel",),
    "bias": ("i/bias",),
}
LINEN_GRU: Layout = {
    "input_kernel": _gates("i", "rzn", "kernel"),
    "recurrent_kernel": _gates("h", "rzn", "kernel"),
    "bias": _gates("i", "rzn", "bias"),
    "recurrent_bias": ("hn/bias",),
}
# In nnx, `if` is an attribute, and cannot be called so.
NNX_LSTM: Layout = LINEN_LSTM | {
    "input_kernel": ("ii/kernel", "if_/kernel", "ig/kernel", "io/kernel")
}
NNX_FUSED_LSTM: Layout = {
    "input_kernel": ("dense_i/kernel",),
    "recurrent_kernel": ("dense_h/kernel",),
    "bias": ("dense_h/bias",),
}
# Of SimpleCell and GRUCell. The GRU has no bias within the reset gate, so `recurrent_bias` is 0.
NNX_FUSED: Layout = {
    "input_kernel": ("dense_i/kernel",),
    "recurrent_kernel": ("dense_h/kernel",),
    "bias": ("dense_i/bias",),
}


class Arrays:
    """The parameters of a Flax module by name, each to be taken once."""

    def __init__(self, what: str, flat: Mapping[Path, Any]):
        """Say which function reads them, for its messages."""
        self.what = what
        self._left = dict(flat)

    def width(self, path: Path, layout: Layout) -> int:
        """How wide an input is, read off the first array of a layout: one row per number."""
        name = next(iter(layout.values()))[0]
        array = self._find(_join(path, name))
        if np.ndim(array) != 2:
            raise ConversionError(
                f"{self.what}: parameter '{_text(_join(path, name))}' has shape "
                f"{np.shape(array)}; expected two axes, [input, output]."
            )
        return np.shape(array)[0]

    def take(self, path: Path, name: str, shape: tuple[int, ...]) -> jax.Array:
        """One array, checked, as a copy in its own dtype."""
        path = _join(path, name)
        array = exact(f"{self.what}: parameter '{_text(path)}'", self._find(path))
        del self._left[path]
        if array.shape != shape:
            raise ConversionError(
                f"{self.what}: parameter '{_text(path)}' has shape {array.shape}, but the module "
                f"expects {shape}; were the variables made by another module?"
            )
        return array

    def finish(self) -> None:
        """Raise if something was not taken."""
        if self._left:
            names = ", ".join(f"'{_text(path)}'" for path in list(self._left)[:3])
            raise ConversionError(
                f"{self.what}: parameter {names} belongs to no layer of the module; were the "
                "variables made by another module?"
            )

    def _find(self, path):
        if path not in self._left:
            given = ", ".join(f"'{_text(path)}'" for path in list(self._left)[:3]) or "none"
            raise ConversionError(
                f"{self.what}: parameter '{_text(path)}' is missing; there is {given} among "
                f"{len(self._left)}."
            )
        return self._left[path]


def read(layer: Layer, layout: Layout, arrays: Arrays, path: Path) -> Part:
    """A layer with its parameters, from Flax's arrays under `path`."""
    spec = specification(layer)
    blocks = {
        (field, name): arrays.take(path, name, _block(getattr(spec, field), len(names)))
        for field, names in layout.items()
        if getattr(spec, field) is not None
        for name in names
    }
    (_, first), dtype = next((at, block.dtype) for at, block in blocks.items())
    for (_, name), block in blocks.items():
        if block.dtype != dtype:
            raise ConversionError(
                f"{arrays.what}: parameter '{_text(_join(path, name))}' has dtype {block.dtype}, "
                f"but '{_text(_join(path, first))}' has {dtype}; the parameters of one layer have "
                "one dtype, so cast some of them first."
            )
    fields = {}
    for field, leaf in spec._asdict().items():
        if leaf is None or field not in layout:
            fields[field] = None if leaf is None else jnp.zeros(leaf.shape, dtype)
            continue
        own = [blocks[field, name] for name in layout[field]]
        fields[field] = own[0] if len(own) == 1 else jnp.concatenate(own, axis=-1)
    return Part(layer, type(spec)(**fields))


def write(layer: Layer, params: Any, layout: Layout) -> dict[str, Any]:
    """Flax's nested dictionary of one layer's parameters.

    Flax's cells always have a bias, so that of a cell without one is zero.
    """
    kernel = params[0]
    nested: dict[str, Any] = {}
    for field, names in layout.items():
        leaf = getattr(params, field)
        if leaf is None:
            if field == "bias" and layout is DENSE:
                continue
            width = layer.hidden_size if field == "recurrent_bias" else params.input_kernel.shape[1]
            leaf = jnp.zeros(width, kernel.dtype)
        for name, block in zip(names, jnp.split(leaf, len(names), axis=-1), strict=True):
            *outer, last = name.split("/")
            inside = nested
            for each in outer:
                inside = inside.setdefault(each, {})
            inside[last] = jnp.array(block)
    return nested


def own_dtype(what: str, layer: Layer, params: Any) -> Any:
    """The dtype of a layer's parameters.

    Raises:
      ConversionError: if they have several.
    """
    dtypes = {name: leaf.dtype for name, leaf in named_leaves(params)}
    if len(set(dtypes.values())) > 1:
        raise ConversionError(
            f"{what}: the parameters of {layer!r} have several dtypes, "
            f"{', '.join(f'{name} {dtype}' for name, dtype in dtypes.items())}; cast them to one."
        )
    return next(iter(dtypes.values()))


def _block(leaf, count):
    return (*leaf.shape[:-1], leaf.shape[-1] // count)


def _join(path, name):
    return (*path, *name.split("/"))


def _text(path):
    return "/".join(str(each) for each in path)
