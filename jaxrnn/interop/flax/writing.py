"""Our layers as modules of Flax: the walk that linen and nnx have in common."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell, Layer
from jaxrnn.cells import GRU
from jaxrnn.errors import ConversionError
from jaxrnn.interop.flax.dialect import Dialect
from jaxrnn.interop.flax.layout import own_dtype, write
from jaxrnn.interop.parts import parts
from jaxrnn.interop.weights import belongs
from jaxrnn.networks import Bidirectional, OneHot, Reverse, concatenate

# Why a layer of ours has no module in Flax.
_NOT_IN_FLAX = {
    "ResetBeforeGRU": "Flax's GRUCell resets after the matrix product; train a GRU instead",
    "ProjectedLSTM": "Flax's LSTMCell has no projection",
    "Zoneout": "without a key it mixes old and new carries, which no cell of Flax does",
    "LearnedCarry": "Flax's cells begin with zeros; convert its layer, and pass params.start as "
    "initial_carry",
    "Residual": "Flax's Sequential has no path around a layer",
    "MixedPrecision": "Flax's dtype also narrows the carry; convert its layer, and choose dtype",
}


class Written(NamedTuple):
    """A module of Flax, and its parameters as nested dictionaries."""

    module: Any
    params: dict[Any, Any]


def to_module(dialect: Dialect, what: str, network: Layer, params: Any) -> Written:
    """A module that does what a network does without a key."""
    belongs(network, params)
    chain = list(parts(network, params))
    if not chain:
        raise ConversionError(
            f"{what}: {network!r} is nothing without a key; there is no module to write."
        )
    written = [
        _one_hot_function(part.layer, [above.params for above in chain[number + 1 :]])
        if isinstance(part.layer, OneHot)
        else _module(dialect, what, part)
        for number, part in enumerate(chain)
    ]
    if len(written) == 1 and written[0].params:
        return written[0]
    nested: dict[Any, Any] = {}
    for number, (_, own) in enumerate(written):
        if own:
            *outer, last = dialect.place(number)
            inside = nested
            for each in outer:
                inside = inside.setdefault(each, {})
            inside[last] = own
    modules = [each.module for each in written]
    return Written(dialect.chain(modules), nested)


def _module(dialect, what, part):
    layer, params = part
    match layer:
        case Reverse(layer=inside):
            cell = _one_cell(dialect, what, layer, inside, params)
            module = dialect.rnn(cell.module, reverse=True, keep_order=True)
            return Written(module, {"cell": cell.params})
        case Bidirectional(forward=forward, backward=backward, merge=merge):
            forward = _one_cell(dialect, what, layer, forward, params.forward)
            backward = _one_cell(dialect, what, layer, backward, params.backward)
            options = {} if merge is concatenate else {"merge_fn": merge}
            module = dialect.bidirectional(
                dialect.rnn(forward.module), dialect.rnn(backward.module), **options
            )
            nested = {
                "forward_rnn": {"cell": forward.params},
                "backward_rnn": {"cell": backward.params},
            }
            return Written(module, nested)
        case Cell():
            cell = _leaf_module(dialect, what, layer, params)
            return Written(dialect.rnn(cell.module), {"cell": cell.params})
    return _leaf_module(dialect, what, layer, params)


def _one_cell(dialect, what, around, layer, params):
    inside = list(parts(layer, params))
    if len(inside) != 1 or not isinstance(inside[0].layer, Cell):
        raise ConversionError(
            f"{what}: {around!r} reads {layer!r} from its end, and Flax turns single cells only; "
            "put reverse or bidirectional around each cell instead."
        )
    return _leaf_module(dialect, what, *inside[0])


def _leaf_module(dialect, what, layer, params):
    layout = dialect.layouts.get(type(layer))
    if layout is None:
        reason = _NOT_IN_FLAX.get(type(layer).__name__, "Flax has no such module")
        raise ConversionError(
            f"{what}: {layer!r} cannot be expressed in Flax: {reason}, or run it there as it is "
            "with the adapters of jaxrnn.interop.flax."
        )
    if isinstance(layer, GRU) and "recurrent_bias" not in layout and params[3] is not None:
        _check_no_recurrent_bias(what, layer, params)
    nested = write(layer, params, layout)
    return Written(dialect.build(layer, nested, own_dtype(what, layer, params)), nested)


def _check_no_recurrent_bias(what, layer, params):
    bias = params.recurrent_bias
    if isinstance(bias, jax.core.Tracer) or bool(jnp.any(bias != 0)):
        raise ConversionError(
            f"{what}: the recurrent_bias of {layer!r} is not zero, or not known, and nnx.GRUCell "
            "has no bias within the reset gate; train with it at zero, or export to linen, whose "
            "GRUCell has it."
        )


def _one_hot_function(layer, above):
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(above)}
    dtype = layer.dtype or (dtypes.pop() if len(dtypes) == 1 else jnp.result_type(float))
    return Written(functools.partial(jax.nn.one_hot, num_classes=layer.input_size, dtype=dtype), {})
