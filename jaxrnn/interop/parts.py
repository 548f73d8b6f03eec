"""A network taken apart: what most other libraries can express is a chain of layers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxrnn.cell import Layer
from jaxrnn.networks import Dropout, SplitBias, Stack, VariationalDropout, WeightDrop
from jaxrnn.networks.split_bias import joined
from jaxrnn.wrappers import StateDropout, UpdateDropout


class Part(NamedTuple):
    """One link of the chain, with its parameters."""

    layer: Layer
    params: Any


def parts(
    network: Layer, params: Any, keep_dropout: bool = False, keep_biases: bool = False
) -> Iterator[Part]:
    """The layers of a network from the lowest up: stacks opened, and what is only noise left out.

    Noise acts where there is a key, in training; what is converted is the function without one.

    Args:
      network: any layer.
      params: its parameters.
      keep_dropout: whether `Dropout` between layers is a part too.
      keep_biases: whether `SplitBias` is a part; if not, its cell is, with the sum of both biases.

    Returns:
      An iterator of parts. Their layers may still be anything that is neither a `Stack` nor noise:
      `Zoneout` stays, since without a key it mixes old and new by its rates.

    Example:
      >>> import jax, jaxrnn
      >>> network = jaxrnn.gru_network(3, 4, num_layers=2, dropout=0.5)
      >>> params = network.init(jax.random.key(0))
      >>> [part.layer.input_size for part in parts(network, params)]
      [3, 4]
    """
    keep = {"keep_dropout": keep_dropout, "keep_biases": keep_biases}
    match network:
        case Stack(layers=layers):
            for layer, own in zip(layers, params.layers, strict=True):
                yield from parts(layer, own, **keep)
        case Dropout() if keep_dropout:
            yield Part(network, params)
        case Dropout() | VariationalDropout():
            return
        case WeightDrop(layer=layer):
            yield from parts(layer, params, **keep)
        case StateDropout(cell=cell) | UpdateDropout(cell=cell):
            yield from parts(cell, params, **keep)
        case SplitBias(cell=StateDropout(cell=cell) | UpdateDropout(cell=cell)):
            yield from parts(SplitBias(cell), params, **keep)
        case SplitBias(cell=cell) if not keep_biases:
            yield from parts(cell, joined(params), **keep)
        case _:
            yield Part(network, params)
