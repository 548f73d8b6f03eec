"""Reading what comes before: the carry and the prediction after each of several prompts."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

LONGEST = 1024  # tokens read at once; of a longer prompt only the last prediction is of interest


class Beginning(NamedTuple):
    """Where streams stand once their prompts are read; [streams] are the leading axes."""

    carry: Any
    logits: jax.Array  # [streams, tokens]


def read_prompts(network, params, prompts: Sequence[np.ndarray]) -> Beginning:
    """Read each prompt from a fresh carry; equal ones are read once.

    Prompts are padded to a few lengths, so that another prompt seldom compiles anything anew.

    Args:
      network: a layer from tokens to logits.
      params: its parameters.
      prompts: per stream [length], int32; none of them empty.

    Example:
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.GRU(3, 8), jaxrnn.Linear(8, 3))
      >>> params = network.init(jax.random.key(0))
      >>> beginning = read_prompts(network, params, [np.array([0, 1, 2]), np.array([2])])
      >>> beginning.logits.shape
      (2, 3)
    """
    places = {}
    rows = [places.setdefault(prompt.tobytes(), len(places)) for prompt in prompts]
    distinct = [np.frombuffer(tokens, np.int32) for tokens in places]
    lengths = np.array([len(tokens) for tokens in distinct])
    window = min(LONGEST, 1 << int(lengths.max() - 1).bit_length())
    padded = np.zeros((-(-lengths.max() // window) * window, len(distinct)), np.int32)
    for row, tokens in enumerate(distinct):
        padded[: len(tokens), row] = tokens
    carry = logits = None
    for start in range(0, len(padded), window):
        count = np.clip(lengths - start, 0, window)
        carry, newer = _read(network, params, carry, padded[start : start + window], count)
        # A prompt that ended in an earlier window keeps the prediction it had there.
        logits = newer if logits is None else jnp.where((count > 0)[:, None], newer, logits)
    beginning = Beginning(carry, logits)
    return beginning if len(distinct) == len(prompts) else _spread(beginning, np.array(rows))


@jax.jit
def _spread(beginning, rows):
    return jax.tree.map(lambda leaf: leaf[rows], beginning)


@functools.partial(jax.jit, static_argnums=0)
def _read(network, params, carry, tokens, lengths):
    if carry is None:
        carry = network.start(params, lengths.shape)
    return jaxrnn.unroll_last(network, params, tokens, carry, lengths=lengths)
