"""The loss of a language model on a text, as one unbroken sequence."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from jaxrnn.errors import CorpusError, InputError


def evaluate(network, params, tokens, window: int = 1024) -> float:
    """Mean cross-entropy of each token after the first, in nats, the carry handed on throughout.

    The text is read from its beginning to its end as one stream, and each target counts once. The
    result does not depend on `window` beyond rounding, nor on any batch size.

    Args:
      network: a layer from tokens to logits.
      params: its parameters.
      tokens: [time]; at least two.
      window: tokens read in one compiled call.

    Returns:
      Nats per token.

    Raises:
      InputError: if the window is not positive.
      CorpusError: if there is no token to predict.

    Example:
      >>> network = jaxrnn.stack(jaxrnn.OneHot(4), jaxrnn.Linear(4, 4))
      >>> params = jax.tree.map(jnp.zeros_like, network.init(jax.random.key(0)))
      >>> round(evaluate(network, params, [0, 3, 1, 2, 0]), 5) == round(math.log(4), 5)
      True
    """
    tokens = np.asarray(tokens)
    if window < 1:
        raise InputError(f"window is {window}; give a positive number.")
    if len(tokens) < 2:
        raise CorpusError(f"the text has {len(tokens)} token(s); a prediction needs at least 2.")
    carry = network.start(params)
    sums = []
    for start in range(0, len(tokens) - 1, window):
        piece = tokens[start : start + window + 1]
        count = len(piece) - 1
        # The last window is padded to full length, so that one compiled function serves them all.
        padded = np.pad(piece, (0, window + 1 - len(piece)))
        carry, total = _sum_of_nats(network, params, carry, padded[:-1], padded[1:], count)
        sums.append(total)
    return math.fsum(map(float, sums)) / (len(tokens) - 1)


@functools.partial(jax.jit, static_argnums=0)
def _sum_of_nats(network, params, carry, inputs, targets, count):
    carry, logits = jaxrnn.unroll(network, params, inputs, carry)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return carry, jnp.sum(jnp.where(jnp.arange(len(inputs)) < count, nats, 0))
