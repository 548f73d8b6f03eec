"""The fifth notebook: a character network of tanh, and its gradient derived by hand.

In the notebook's column vectors, so every weight here is the transpose of a kernel of jaxrnn:

    h_t = tanh(Wxh x_t + Whh h_{t−1} + bh)      y_t = Why h_t + by      p_t = softmax(y_t)
    L = −Σ_t ln p_t[target_t]
"""

from typing import NamedTuple

import numpy as np


class Weights(NamedTuple):
    """Weights of the network, or the derivative of the loss with respect to them."""

    input_hidden: np.ndarray  # Wxh
    hidden_hidden: np.ndarray  # Whh
    hidden_output: np.ndarray  # Why
    hidden_bias: np.ndarray  # bh
    output_bias: np.ndarray  # by


def loss_and_gradient(weights, inputs, targets, start, *, hop):
    """The summed loss, its gradient, and the derivative with respect to the start.

    Args:
      weights: `Weights`.
      inputs: token ids.
      targets: token ids, one instant later.
      start: the hidden state before the first instant, `[hidden]`.
      hop: whether a loss reaches the instants before its own. False is the notebook's "naive"
        rule of section 4; True adds `d_next`, its `dhnext`, in section 5.
    """
    hidden, logits = {-1: start}, {}
    for t, token in enumerate(inputs):
        x = np.eye(weights.input_hidden.shape[1])[token]
        a = weights.input_hidden @ x + weights.hidden_hidden @ hidden[t - 1] + weights.hidden_bias
        hidden[t] = np.tanh(a)
        logits[t] = weights.hidden_output @ hidden[t] + weights.output_bias

    loss = 0.0
    gradient = Weights(*(np.zeros_like(weight) for weight in weights))
    d_next = np.zeros_like(start)
    for t in reversed(range(len(inputs))):
        x = np.eye(weights.input_hidden.shape[1])[inputs[t]]
        p = np.exp(logits[t] - logits[t].max())
        p /= p.sum()
        loss -= np.log(p[targets[t]])
        d_y = p - np.eye(p.size)[targets[t]]
        d_h = weights.hidden_output.T @ d_y + d_next
        d_raw = (1 - hidden[t] ** 2) * d_h
        gradient.hidden_output[:] += np.outer(d_y, hidden[t])
        gradient.output_bias[:] += d_y
        gradient.input_hidden[:] += np.outer(d_raw, x)
        gradient.hidden_hidden[:] += np.outer(d_raw, hidden[t - 1])
        gradient.hidden_bias[:] += d_raw
        d_previous = weights.hidden_hidden.T @ d_raw
        if hop:
            d_next = d_previous
    return loss, gradient, d_previous
