"""What networks around a single layer share."""

from typing import Any

import jax

from jaxrnn.cell import Layer
from jaxrnn.networks.border import check_layer
from jaxrnn.networks.network import Network


class Wrapped(Network):
    """A network around one layer, whose parameters and carry are those of the layer.

    Attributes:
      layer: the layer inside.
    """

    layer: Layer

    def __post_init__(self):
        check_layer(self.layer)

    @property
    def input_size(self) -> int:
        """Width that the layer reads."""
        return self.layer.input_size

    @property
    def output_size(self) -> int:
        """Width that the layer writes."""
        return self.layer.output_size

    @property
    def takes_tokens(self) -> bool:
        """Whether the layer reads token ids."""
        return self.layer.takes_tokens

    def init(self, key: jax.Array) -> Any:
        """The layer's parameters."""
        return self.layer.init(key)

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> Any:
        """The layer's initial carry."""
        return self.layer.initial_carry(batch_shape)

    def start(self, params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The layer's start."""
        return self.layer.start(params, batch_shape)
