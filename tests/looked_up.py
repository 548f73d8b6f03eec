"""Networks that begin with tokens, with more of them to read than there are in the vocabulary."""

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn.folds import automatic

TOKENS, WIDTH, LENGTH, ROWS = 7, 5, 12, 3


def embedded(layer):
    return jaxrnn.stack(jaxrnn.Embedding(TOKENS, WIDTH), layer, jaxrnn.Linear(layer.output_size, 3))


def some_tokens():
    """Those of sequences with more of them than there are in the vocabulary."""
    return jax.random.randint(jax.random.key(1), (LENGTH, ROWS), 0, TOKENS)


def multiplied(cell, params, carry, xs):
    """`automatic` under another name, so that vectors are multiplied."""
    return automatic(cell, params, carry, xs)


def pulled(network, params, fold, **options):
    """Outputs, last carry, and the gradients of parameters and carry."""
    carry = jax.tree.map(
        lambda leaf: leaf + 0.1, network.start(params, (ROWS,))
    )  # another start than zero

    def run(params, carry):
        return jaxrnn.unroll(network, params, some_tokens(), carry, fold=fold, **options)

    out, pull = jax.vjp(run, params, carry)
    probe = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), out)
    return out, pull(probe)


def looks_up(network):
    params = network.init(jax.random.key(0))
    return network.looking_up(params)[0] != network
