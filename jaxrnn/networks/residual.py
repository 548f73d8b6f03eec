"""A path around a layer."""

import dataclasses

from jaxrnn.cell import Layer
from jaxrnn.networks.network import run
from jaxrnn.networks.wrapped import Wrapped


@dataclasses.dataclass(frozen=True, repr=False)
class Residual(Wrapped):
    """A layer with a path around it; made by `residual`."""

    layer: Layer

    def __post_init__(self):
        super().__post_init__()
        if self.layer.takes_tokens:
            raise ValueError(
                f"residual: {self.layer!r} reads token ids, to which its outputs cannot be added; "
                "put the path around a layer of vectors."
            )
        if self.input_size != self.output_size:
            raise ValueError(
                f"residual: {self.layer!r} reads width {self.input_size} and writes width "
                f"{self.output_size}; the path around it needs vectors of one width."
            )

    def __call__(self, params, carry, x):
        """One instant: x + layer(x)."""
        carry, y = self.layer(params, carry, x)
        return carry, x + y

    def apply(self, params, carry, xs, fold, context):
        """The whole sequence: xs + layer(xs)."""
        carry, ys = run(self.layer, params, carry, xs, fold, context)
        return carry, xs + ys


def residual(layer: Layer) -> Residual:
    """Add what a layer reads to what it writes: y = x + layer(x).

    Source: He et al. (2016), arXiv:1512.03385; for stacked LSTMs Wu et al. (2016),
      arXiv:1609.08144.

    Args:
      layer: a cell or network with `input_size == output_size`.

    Returns:
      A network with the parameters and carry of `layer`.

    Raises:
      ValueError: if the two widths differ.

    Example:
      >>> import jaxrnn
      >>> jaxrnn.stack(jaxrnn.LSTM(3, 8), jaxrnn.residual(jaxrnn.LSTM(8, 8))).output_size
      8
    """
    return Residual(layer)
