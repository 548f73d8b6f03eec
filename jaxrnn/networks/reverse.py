"""Reading a sequence from its end."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.networks.network import reading_tokens, run
from jaxrnn.networks.wrapped import Wrapped


@dataclasses.dataclass(frozen=True, repr=False)
class Reverse(Wrapped):
    """A layer that reads the sequence from its end; made by `reverse`."""

    layer: Layer

    def __call__(self, params, carry, x):
        """Not to be had: the first output needs the last input."""
        raise TypeError(
            f"{self!r} reads the sequence from its end, so it has no single instant; "
            "run it over a whole sequence with jaxrnn.unroll."
        )

    def reading_tokens(self, params, vectors, tokens):
        """The layer inside reading tokens, from the end."""
        inside = reading_tokens(self.layer, params, vectors, tokens)
        return None if inside is None else (dataclasses.replace(self, layer=inside[0]), inside[1])

    def apply(self, params, carry, xs, fold, context):
        """The whole sequence, last instant first; outputs stand at the time of their input."""
        xs = jnp.flip(xs, axis=0)
        carry, ys = run(self.layer, params, carry, xs, fold, context.reversed())
        if context.history:
            carry = jax.tree.map(lambda record: jnp.flip(record, axis=0), carry)
        return carry, jnp.flip(ys, axis=0)


def reverse(layer: Layer) -> Reverse:
    """Read the sequence from its end; `ys[t]` still answers `xs[t]`.

    Args:
      layer: a cell or a network.

    Returns:
      A network with the parameters and carry of `layer`; the carry it returns is the one after the
      first instant of the sequence, which it reads last.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> backward = jaxrnn.reverse(jaxrnn.GRU(3, 4))
      >>> carry, ys = jaxrnn.unroll(backward, backward.init(jax.random.key(0)), jnp.ones((10, 3)))
      >>> bool((carry.h == ys[0]).all())
      True
    """
    return Reverse(layer)
