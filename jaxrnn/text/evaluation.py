"""What a language model makes of a text, read as one unbroken sequence."""

import collections
import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from jaxrnn.errors import CorpusError, InputError
from jaxrnn.text.unread import Unread, sequence
from jaxrnn.training.losses import widen


def evaluate(network, params, tokens, window: int = 1024) -> float:
    """Mean cross-entropy of each token after the first, in nats, the carry handed on throughout.

    A text is read from its beginning to its end as one stream, and each target counts once. The
    result does not depend on `window` beyond rounding, nor on any batch size.

    Args:
      network: a layer from tokens to logits.
      params: its parameters.
      tokens: [time, *streams]; at least two instants. Several streams are several texts.
      window: instants read in one compiled call.

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
    tokens = check_tokens(tokens, window)
    start = network.start(params, tokens.shape[1:])
    windows = _windows(network, params, tokens, start, window)
    total = exact_sum(log_probs for _, log_probs in windows)
    return -total / (tokens.size - math.prod(tokens.shape[1:]))


def log_probabilities(
    network, params, tokens, carry: Any = None, window: int = 1024
) -> tuple[Any, np.ndarray]:
    """The logarithm of the probability of each token after the first, given all before it.

    A text may be read in parts: hand the carry on, and let each part begin with the token that the
    one before ended with.

    Args:
      network: a layer from tokens to logits.
      params: its parameters.
      tokens: [time, *streams]; at least two instants.
      carry: what came before; None for `network.start`.
      window: instants read in one compiled call.

    Returns:
      carry: after all tokens but the last, which nothing has been predicted from yet.
      log_probs: [time − 1, *streams], in nats; minus the surprise.

    Raises:
      InputError: if the window is not positive.
      CorpusError: if there is no token to predict.

    Example:
      >>> network = jaxrnn.stack(jaxrnn.OneHot(4), jaxrnn.GRU(4, 8), jaxrnn.Linear(8, 4))
      >>> params = network.init(jax.random.key(0))
      >>> _, whole = log_probabilities(network, params, [0, 3, 1, 2, 0])
      >>> carry, first = log_probabilities(network, params, [0, 3, 1])
      >>> _, second = log_probabilities(network, params, [1, 2, 0], carry)
      >>> bool(np.allclose(whole, np.concatenate([first, second])))
      True
    """
    tokens = check_tokens(tokens, window)
    start = network.start(params, tokens.shape[1:]) if carry is None else carry
    found = []
    for after, log_probs in _windows(network, params, tokens, start, window):
        carry = after
        found.append(log_probs)
    # Fetched at the end, so that the device need not wait for Python at every window.
    return carry, np.concatenate(jax.device_get(found))


def _windows(network, params, tokens, carry, window):
    """The carry after each window of a text, and what was predicted in it."""
    for start in range(0, len(tokens) - 1, window):
        piece = np.asarray(tokens[start : start + window + 1], np.int32)
        # The last window is padded to full length, so that one compiled function serves them all.
        rest = window + 1 - len(piece)
        padded = np.pad(piece, [(0, rest)] + [(0, 0)] * (piece.ndim - 1))
        count = len(piece) - 1
        carry, log_probs = _read(network, params, carry, padded[:-1], padded[1:], count)
        yield carry, log_probs[:count]


def exact_sum(arrays: Iterable[Any], ahead: int = 8) -> float:
    """The sum of all numbers in arrays that a device computes one after the other.

    A million float32 numbers, added up in float32, would be right to 4 digits.

    Args:
      arrays: where the numbers are.
      ahead: arrays that are begun before the first is waited for, so that the device need not wait
        for Python; the memory of no more is needed.

    Example:
      >>> exact_sum([np.array([1e16, 1.0]), np.array([-1e16])])
      1.0
    """

    def numbers():
        waiting = collections.deque()
        for array in arrays:
            waiting.append(array)
            if len(waiting) > ahead:
                yield from np.ravel(waiting.popleft()).tolist()
        for array in waiting:
            yield from np.ravel(array).tolist()

    return math.fsum(numbers())


def check_tokens(tokens, window: int) -> np.ndarray | Unread:
    """The tokens of a text that can be read in windows, as something that can be cut.

    Args:
      tokens: [time, *streams].
      window: instants read at once.

    Raises:
      InputError: if the window is not positive.
      CorpusError: if there is no token to predict.
    """
    tokens = sequence(tokens)
    if window < 1:
        raise InputError(f"window is {window}; give a positive number.")
    if len(tokens) < 2:
        raise CorpusError(f"the text has {len(tokens)} token(s); a prediction needs at least 2.")
    return tokens


@functools.partial(jax.jit, static_argnums=0)
def _read(network, params, carry, inputs, targets, count):
    lengths = jnp.full(inputs.shape[1:], count)
    carry, logits = jaxrnn.unroll(network, params, inputs, carry, lengths=lengths)
    return carry, -nats(logits, targets)


def nats(logits, targets) -> jax.Array:
    """The surprise of each target, at least in float32.

    Args:
      logits: [*any, tokens].
      targets: [*any].
    """
    return optax.softmax_cross_entropy_with_integer_labels(widen("logits", logits), targets)
