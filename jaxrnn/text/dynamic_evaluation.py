"""Dynamic evaluation: a model that goes on learning from the text it is measured on.

Each window is first predicted, then learned from, so every figure is an honest prediction of text
not yet seen; but it is the figure of another, adapting model, and is to be named as such.

Source: Krause, Kahembwe, Murray and Renals (2018), "Dynamic Evaluation of Neural Sequence Models",
sections 4 and 5, arXiv:1709.07432.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn.errors import InputError
from jaxrnn.text.batches import Batches, training_windows
from jaxrnn.text.evaluation import check_tokens, exact_sum, log_probabilities, nats
from jaxrnn.text.unread import sequence

Rule = Callable[[Any, Any, Any], Any]  # (params, origin, gradient) -> params


class _Descent(NamedTuple):
    learning_rate: float
    decay: float

    def __call__(self, params, origin, gradient):
        def move(theta, first, g):
            return theta - self.learning_rate * g + self.decay * (first - theta)

        return jax.tree.map(move, params, origin, gradient)


def descent(learning_rate: float, decay: float = 0.0) -> Rule:
    """Gradient descent, drawn back to the parameters it began with.

        θ ← θ − η ∇L + λ (θ₀ − θ)

    Args:
      learning_rate: η, above 0.
      decay: λ, from 0 to 1; 0 never forgets what it adapted to.

    Returns:
      A pure function `(params, origin, gradient) -> params`.

    Raises:
      InputError: if a number is out of range.

    Example:
      >>> descent(0.5)(jnp.array(1.0), jnp.array(1.0), jnp.array(4.0)).item()
      -1.0
    """
    _check_rule(learning_rate, decay)
    return _Descent(learning_rate, decay)


class _RMS(NamedTuple):
    learning_rate: float
    decay: float
    epsilon: float
    sizes: Any  # √MS, one number per parameter

    def __call__(self, params, origin, gradient):
        leaves = jax.tree.leaves(self.sizes)
        mean = sum(jnp.sum(leaf) for leaf in leaves) / sum(leaf.size for leaf in leaves)

        def move(theta, first, g, size):
            # At most 1: the parameter would be drawn beyond where it began.
            back = jnp.minimum(self.decay * size / mean, 1)
            return theta - self.learning_rate * g / (size + self.epsilon) + back * (first - theta)

        return jax.tree.map(move, params, origin, gradient, self.sizes)


def rms(learning_rate: float, decay: float, sizes: Any, epsilon: float = 2e-5) -> Rule:
    """Steps in units of each parameter's usual gradient, drawn back in the same measure.

        θ ← θ − η ∇L / (√MS + ε) + min(1, λ √MS / mean √MS) (θ₀ − θ)

    Differs from the authors' program, which takes the mean of the means of the arrays; here, as in
    the paper, every parameter counts alike.

    Args:
      learning_rate: η, above 0.
      decay: λ, from 0 to 1.
      sizes: √MS of every parameter, from `gradient_sizes`.
      epsilon: ε, above 0, for parameters that hardly ever had a gradient.

    Returns:
      A pure function `(params, origin, gradient) -> params`.

    Raises:
      InputError: if a number is out of range.

    Example:
      >>> rule = rms(0.5, 0.0, sizes=jnp.array(4.0))
      >>> rule(jnp.array(1.0), jnp.array(1.0), jnp.array(4.0)).round(4).item()
      0.5
    """
    _check_rule(learning_rate, decay)
    if not 0 < epsilon < float("inf"):
        raise InputError(f"epsilon is {epsilon}; give a number above 0.")
    return _RMS(learning_rate, decay, epsilon, sizes)


def gradient_sizes(
    network, params, tokens, batch: int = 32, window: int = 20, most: int = 1000
) -> Any:
    """√MS: the root of the mean square of each parameter's gradient over windows of a text.

    Args:
      network: a layer from tokens to logits.
      params: its parameters, as they will be when the adapting begins.
      tokens: [time], or [time, streams] of a split that made them; the text that the model was
        trained on, never the one it is measured on.
      batch: streams that a text [time] is cut into; one gradient is the mean over them.
      window: instants in a window; as many as there will be later.
      most: windows to read at most.

    Returns:
      A tree like `params`.

    Raises:
      InputError: if a number is not positive.
      CorpusError: if the text is too short for one window.
    """
    if most < 1:
        raise InputError(f"most is {most}; give a positive number.")
    tokens = sequence(tokens)
    batch = batch if tokens.ndim == 1 else tokens.shape[1]
    windows = training_windows(tokens, batch, window)
    carry = network.start(params, (batch,))
    sums = jax.tree.map(jnp.zeros_like, params)
    count = min(most, len(windows))
    for place in range(count):
        carry, sums = _add_squares(network, params, carry, sums, *windows[place])
    return jax.tree.map(lambda total: jnp.sqrt(total / count), sums)


def evaluate_dynamically(network, params, tokens, rule: Rule, window: int = 20) -> float:
    """`evaluate`, by a model that learns from each window once it has been measured on it.

    The carry is handed on, the gradient reaches back to the beginning of the window. The
    parameters given stay as they are.

    Args:
      network: a layer from tokens to logits.
      params: its parameters.
      tokens: [time, *streams]; at least two instants. Several streams are learned from at once.
      rule: how the parameters move, `descent(…)` or `rms(…)`.
      window: instants between two updates; the figure depends on it.

    Returns:
      Nats per token, each predicted before it was learned from.

    Raises:
      InputError: if the window is not positive.
      CorpusError: if there is no token to predict.

    Example:
      >>> import numpy as np
      >>> from jaxrnn.text.evaluation import evaluate
      >>> network = jaxrnn.stack(jaxrnn.OneHot(4), jaxrnn.GRU(4, 8), jaxrnn.Linear(8, 4))
      >>> params, tokens = network.init(jax.random.key(0)), np.arange(200) % 4
      >>> adapted = evaluate_dynamically(network, params, tokens, descent(1.0), window=10)
      >>> adapted < evaluate(network, params, tokens)
      True
    """
    tokens = check_tokens(tokens, window)
    # Copies, because a window takes over the memory of the one before, and the origin is kept.
    moved = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), params)
    carry = jax.tree.map(jnp.array, network.start(params, tokens.shape[1:]))
    measured = _measured(network, rule, moved, carry, params, tokens, window)
    return exact_sum(measured) / (tokens.size - math.prod(tokens.shape[1:]))


def _measured(network, rule, moved, carry, params, tokens, window):
    windows = Batches(tokens, window)
    for place in range(len(windows)):
        moved, carry, measured = _adapt(network, rule, moved, carry, params, *windows[place])
        yield measured
    rest = tokens[len(windows) * window :]
    if len(rest) > 1:  # There is nothing after the rest that learning from it would help.
        yield -log_probabilities(network, moved, rest, carry, window)[1]


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(2, 3))
def _adapt(network, rule, params, carry, origin, inputs, targets):
    gradient, carry, measured = _gradient(network, params, carry, inputs, targets)
    return rule(params, origin, gradient), carry, measured


@functools.partial(jax.jit, static_argnums=0)
def _add_squares(network, params, carry, sums, inputs, targets):
    gradient, carry, _ = _gradient(network, params, carry, inputs, targets)
    return carry, jax.tree.map(lambda total, g: total + g * g, sums, gradient)


def _gradient(network, params, carry, inputs, targets):
    def loss(params):
        handed_on, logits = jaxrnn.unroll(network, params, inputs, carry)
        measured = nats(logits, targets)
        return measured.mean(), (handed_on, measured)

    gradient, (carry, measured) = jax.grad(loss, has_aux=True)(params)
    return gradient, carry, measured


def _check_rule(learning_rate, decay):
    if not 0 < learning_rate < float("inf"):
        raise InputError(f"the learning rate is {learning_rate}; give a number above 0.")
    if not 0 <= decay <= 1:
        raise InputError(f"the decay is {decay}; give a number from 0 to 1.")
