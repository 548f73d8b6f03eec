"""cuDNN's LSTM, through `jax.experimental.rnn`; on GPUs only."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn
from jobs import Equations, Model, Skip
from weights import Layers

from contenders import Ready, jax_works


def equations(model: Model) -> Equations:
    """Two biases everywhere."""
    if model.cell != "LSTM":
        raise Skip("jax.experimental.rnn knows the LSTM only.")
    return Equations("all")


def build(work: str, model: Model) -> Ready:
    """The works; cuDNN reads the batch first, and pads on the right."""
    if jax.default_backend() != "gpu":
        raise Skip("jax.experimental.rnn runs on GPUs only.")
    common = equations(model)
    network = jax_works.Network(write, lambda params, xs: apply(model, params, xs), time_axis=1)
    return jax_works.build(work, model, common, network)


def apply(model: Model, params: jax.Array, xs: jax.Array, lstm=rnn.lstm) -> jax.Array:
    """All layers in one call."""
    batch, time, width, layers = model.size
    zeros = jnp.zeros((layers * model.directions, batch, width), xs.dtype)
    lengths = jnp.full(batch, time, jnp.int32)
    both = model.directions == 2
    options = {} if lstm is not rnn.lstm else {"precision": jax.lax.Precision.HIGHEST}
    return lstm(xs, zeros, zeros, params, lengths, width, width, layers, 0.0, both, **options)[0]


def write(layers: Layers) -> np.ndarray:
    """One vector: the kernels of all layers and directions, then all their biases."""
    cells = [weights for layer in layers for weights in layer]
    kernels = [array.T.ravel() for weights in cells for array in (weights.w, weights.r)]
    biases = [array for weights in cells for array in (weights.b, weights.c)]
    return np.concatenate(kernels + biases)
