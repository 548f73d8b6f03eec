"""Parameters in one dtype, products in another, sums and memory in a third."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jaxrnn.cell import Layer, cast, output_dtype
from jaxrnn.networks.network import run
from jaxrnn.networks.wrapped import Wrapped

_FLOATS = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True, repr=False)
class MixedPrecision(Wrapped):
    """A layer that computes in a narrower dtype than its parameters are kept in.

        parameters   as they are (float32, say): what the optimizer sees, and what gradients have
        products     in `compute`: parameters and inputs are cast to it on the way in
        the carry    in `carry`, and with it the gates and the sums between the products
        outputs      in the dtype of the parameters, after computing in `compute`

    Nothing else is promoted. The defaults are the usual bfloat16 recipe. Products are summed in
    float32, and so are gradients, over rows and instants; the products of the backward pass are as
    narrow as those of the forward pass.

    Source: Micikevicius et al. (2018), arXiv:1710.03740.

    Attributes:
      layer: the layer inside.
      compute: name of the dtype of products, and of what passes between inner layers.
      carry: name of the dtype of the carry.

    Raises:
      ValueError: if a name is not that of a floating-point dtype, or the carry is the narrower.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.MixedPrecision(jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.LSTM(4, 4)))
      >>> params = network.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((10, 2, 3)))
      >>> carry.layers[0].c.dtype == jnp.float32, ys.dtype == params.layers[0].bias.dtype
      (True, True)
    """

    layer: Layer
    compute: str = "bfloat16"
    carry: str = "float32"

    def __post_init__(self):
        super().__post_init__()
        for name, dtype in (("compute", self.compute), ("carry", self.carry)):
            if dtype not in _FLOATS:
                raise ValueError(
                    f"MixedPrecision: {name} must be one of {', '.join(_FLOATS)}; got {dtype!r}."
                )
        if jnp.promote_types(self.compute, self.carry) != self.carry:
            raise ValueError(
                f"MixedPrecision: a carry in {self.carry} cannot hold what is computed in "
                f"{self.compute}; give a carry at least as wide."
            )

    def start(self, params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The layer's start, in the dtype of the carry."""
        return cast(self.layer.start(params, batch_shape), self.carry)

    def __call__(self, params, carry, x):
        """One instant."""
        narrow = x if self.takes_tokens else x.astype(self.compute)
        carry, y = self.layer(cast(params, self.compute), carry, narrow)
        return carry, y.astype(output_dtype(self, params, x))

    def apply(self, params, carry, xs, fold, context):
        """The whole sequence."""
        narrow = xs if self.takes_tokens else xs.astype(self.compute)
        carry, ys = run(self.layer, cast(params, self.compute), carry, narrow, fold, context)
        return carry, ys.astype(output_dtype(self, params, xs))
