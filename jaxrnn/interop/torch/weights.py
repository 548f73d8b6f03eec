"""The weights of one torch module, by its names, and in ours."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer, specification
from jaxrnn.cells import (
    GRU,
    LSTM,
    Elman,
    ElmanParams,
    GRUParams,
    LSTMParams,
    ProjectedLSTM,
    ProjectedLSTMParams,
)
from jaxrnn.errors import ConversionError
from jaxrnn.interop.torch.arrays import as_array, shape_of
from jaxrnn.interop.weights import check_shapes
from jaxrnn.networks import (
    Bidirectional,
    Dropout,
    Embedding,
    EmbeddingParams,
    Linear,
    LinearParams,
    SplitBias,
    SplitBiasParams,
    Stack,
    bidirectional,
    stack,
)

GATES: dict[type[Layer], int] = {Elman: 1, LSTM: 4, ProjectedLSTM: 4, GRU: 3}


class Place(NamedTuple):
    """A layer without layers inside, its parameters, and what torch's names for them end in."""

    layer: Layer
    params: Any
    suffix: str


def places(network: Layer, params: Any, suffix: str = "") -> Iterator[Place]:
    """The layers of what is one module in torch, in its order: from the lowest up, forward first.

    Args:
      network: an `Embedding`, a `Linear` or a `Dropout`; a cell, whose weights are named as those
        of a Cell module; or a `Stack` of cells or of `Bidirectional`s, perhaps with `Dropout`
        between.
      params: its parameters, or their specification.
      suffix: what all names end in.
    """
    match network:
        case Stack():
            pairs = zip(network.layers, params.layers, strict=True)
            recurrent = [pair for pair in pairs if not isinstance(pair[0], Dropout)]
            for number, (layer, own) in enumerate(recurrent):
                yield from places(layer, own, f"_l{number}")
        case Bidirectional():
            yield from places(network.forward, params.forward, suffix)
            yield from places(network.backward, params.backward, f"{suffix}_reverse")
        case Dropout():
            return
        case _:
            yield Place(network, params, suffix)


def read(
    owner: str,
    network: Layer,
    state_dict: Mapping[str, Any],
    prefix: str = "",
    two_biases: bool = False,
) -> tuple[Layer, Any]:
    """A network of one bias each with the weights of a state dict, all of which have to be its own.

    Args:
      owner: what the weights belong to, for messages.
      network: as in `places`.
      state_dict: names to tensors or arrays.
      prefix: what all names begin with.
      two_biases: whether both of torch's biases stay.

    Returns:
      The network, with `SplitBias` around its cells if both biases stay, and its parameters.

    Raises:
      ConversionError: if weights are missing, unexpected or of another shape, each of them named,
        their numbers cannot be taken over, or those of one layer have several dtypes.
    """
    network = _with_both_biases(network) if two_biases else network
    spec = specification(network)
    layers = list(places(network, spec))
    shapes = {
        f"{prefix}{name}{suffix}": shape
        for layer, _, suffix in layers
        for name, shape in _shapes(layer).items()
    }
    given = {
        name: shape_of(f"{owner}: weight {name!r}", value) for name, value in state_dict.items()
    }
    check_shapes(owner, given, shapes)
    weights = {name: as_array(f"{owner}: weight {name!r}", state_dict[name]) for name in shapes}
    leaves = []
    for layer, _, suffix in layers:
        own = {name: weights[f"{prefix}{name}{suffix}"] for name in _shapes(layer)}
        dtypes = {name: array.dtype.name for name, array in own.items()}
        if len(set(dtypes.values())) > 1:
            raise ConversionError(
                f"{owner}: the weights of {layer!r} have several dtypes, "
                f"{', '.join(f'{name}{suffix} {dtype}' for name, dtype in dtypes.items())}; cast "
                "them to one."
            )
        leaves += jax.tree.leaves(_to_params(layer, own))
    return network, jax.tree.unflatten(jax.tree.structure(spec), leaves)


def write(network: Layer, params: Any) -> dict[str, np.ndarray]:
    """NumPy arrays by torch's names, in torch's order; the inverse of `read`."""
    return {
        name + suffix: array
        for layer, own, suffix in places(network, params)
        for name, array in _from_params(layer, own).items()
    }


def _with_both_biases(layer):
    match layer:
        case Stack():
            return stack(*map(_with_both_biases, layer.layers))
        case Bidirectional():
            return bidirectional(*map(_with_both_biases, (layer.forward, layer.backward)))
        case Elman() | LSTM() | ProjectedLSTM() | GRU() if layer.use_bias:
            return SplitBias(layer)
    return layer


def _shapes(layer):
    """Torch's names and shapes of one layer's weights, in torch's order."""
    match layer:
        case SplitBias(cell=cell):
            return _shapes(cell)
        case Embedding():
            return {"weight": (layer.input_size, layer.output_size)}
        case Linear():
            bias = {"bias": (layer.output_size,)} if layer.use_bias else {}
            return {"weight": (layer.output_size, layer.input_size)} | bias
    rows = GATES[type(layer)] * layer.hidden_size
    shapes = {"weight_ih": (rows, layer.input_size), "weight_hh": (rows, layer.output_size)}
    if layer.use_bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if isinstance(layer, ProjectedLSTM):
        shapes |= {"weight_hr": (layer.output_size, layer.hidden_size)}
    return shapes


def _to_params(layer, weights):
    match layer:
        case Embedding():
            return EmbeddingParams(table=weights["weight"])
        case Linear():
            return LinearParams(kernel=weights["weight"].T, bias=weights.get("bias"))
        case SplitBias(cell=cell):
            one, other = weights["bias_ih"], weights["bias_hh"]
            added = _added(cell)
            own = _cell_params(cell, weights, one, other[added:])
            return SplitBiasParams(cell=own, recurrent_bias=other[:added])
    if not layer.use_bias:
        return _cell_params(layer, weights, None, None)
    one, other = weights["bias_ih"], weights["bias_hh"]
    added = _added(layer)
    bias = jnp.concatenate([one[:added] + other[:added], one[added:]])
    return _cell_params(layer, weights, bias, other[added:])


def _added(cell):
    """How much of torch's two biases is only ever added up: all, but for a GRU's n."""
    return (2 if isinstance(cell, GRU) else GATES[type(cell)]) * cell.hidden_size


def _cell_params(cell, weights, bias, of_n):
    shared = {
        "input_kernel": weights["weight_ih"].T,
        "recurrent_kernel": weights["weight_hh"].T,
        "bias": bias,
    }
    match cell:
        case Elman():
            return ElmanParams(**shared)
        case LSTM():
            return LSTMParams(**shared)
        case ProjectedLSTM():
            return ProjectedLSTMParams(**shared, projection_kernel=weights["weight_hr"].T)
    return GRUParams(**shared, recurrent_bias=of_n)


def _from_params(layer, params):
    match layer:
        case Embedding():
            return {"weight": params.table}
        case Linear():
            bias = {"bias": params.bias} if layer.use_bias else {}
            return {"weight": params.kernel.T} | bias
        case SplitBias(cell=cell):
            params, other = params
        case cell:
            other = np.zeros(_added(cell), params.input_kernel.dtype)
    weights = {"weight_ih": params.input_kernel.T, "weight_hh": params.recurrent_kernel.T}
    if cell.use_bias:
        if isinstance(cell, GRU):
            other = np.concatenate([other, params.recurrent_bias])
        weights |= {"bias_ih": params.bias, "bias_hh": other}
    if isinstance(cell, ProjectedLSTM):
        weights |= {"weight_hr": params.projection_kernel.T}
    return weights
