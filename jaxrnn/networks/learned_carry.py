"""A start that is learned."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import checks
from jaxrnn.cell import Layer
from jaxrnn.initializers import Constant, Initializer
from jaxrnn.networks.network import reading_tokens, run
from jaxrnn.networks.wrapped import Wrapped


class LearnedCarryParams(NamedTuple):
    """Parameters of a `LearnedCarry`: the start of one row, and the parameters of the layer."""

    start: Any
    layer: Any


_ZERO = Constant(0.0)


@dataclasses.dataclass(frozen=True, repr=False)
class LearnedCarry(Wrapped):
    """A layer whose sequences begin with a learned carry; made by `learned_carry`."""

    layer: Layer
    start_init: Initializer = _ZERO

    def __post_init__(self):
        super().__post_init__()
        checks.check_options(self)

    def init(self, key: jax.Array) -> LearnedCarryParams:
        """Draw the start and the layer's parameters."""
        start_key, layer_key = jax.random.split(key)
        params = self.layer.init(layer_key)
        leaves, structure = jax.tree.flatten(self.layer.start(params))
        drawn = [
            leaf + self.start_init(leaf_key, leaf.shape)
            for leaf, leaf_key in zip(
                leaves, jax.random.split(start_key, max(len(leaves), 1)), strict=False
            )
        ]
        return LearnedCarryParams(start=jax.tree.unflatten(structure, drawn), layer=params)

    def start(self, params: LearnedCarryParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """The learned start, the same for every row of the batch."""
        # The layer may want its carry in another dtype than that of the parameters.
        like = jax.eval_shape(lambda layer: self.layer.start(layer, batch_shape), params.layer)
        # A copy: for a single row it would be the parameter's own buffer, which a step that donates
        # both could not take.
        return jax.tree.map(
            lambda s, spec: jnp.array(jnp.broadcast_to(s, spec.shape), spec.dtype),
            params.start,
            like,
        )

    def __call__(self, params, carry, x):
        """One instant of the layer."""
        return self.layer(params.layer, carry, x)

    def reading_tokens(self, params, vectors, tokens):
        """The layer alone, reading tokens."""
        return reading_tokens(self.layer, params.layer, vectors, tokens)

    def apply(self, params, carry, xs, fold, context):
        """The layer over the whole sequence."""
        return run(self.layer, params.layer, carry, xs, fold, context)


def learned_carry(layer: Layer, start_init: Initializer = _ZERO) -> LearnedCarry:
    """Let the carry that sequences begin with be a parameter, learned with the others.

    Args:
      layer: a cell or a network whose carry holds floating-point arrays.
      start_init: what is added to the layer's own start; called once per array of the carry.

    Returns:
      A network whose parameters have the fields `start` (the carry of one row) and `layer`, and
      whose carry is the layer's. `unroll` without a carry begins with `params.start`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.learned_carry(jaxrnn.GRU(3, 4))
      >>> params = network.init(jax.random.key(0))
      >>> def loss(params):
      ...     return jaxrnn.unroll(network, params, jnp.ones((5, 2, 3)))[1].sum()
      >>> jax.grad(loss)(params).start.h.shape
      (4,)
    """
    return LearnedCarry(layer, start_init)
