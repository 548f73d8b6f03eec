"""The front door: run a cell or a network over a sequence."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.folds import scan
from jaxrnn.networks import border
from jaxrnn.networks.network import Fold, run


def unroll(
    layer: Layer,
    params: Any,
    xs: Any,
    carry: Any = None,
    *,
    fold: Fold = scan,
    time_axis: int = 0,
) -> tuple[Any, jax.Array]:
    """Run a cell or a network over a whole sequence.

    The call is compiled, once for equal layers and shapes, and may itself stand inside `jax.jit`,
    `jax.vmap` or `jax.grad`.

    Args:
      layer: a cell (`LSTM`, `GRU`, `Elman`, your own) or a network (`stack`, `bidirectional` …).
      params: its parameters, as from `layer.init(key)`.
      xs: `[time, *batch, input_size]`, with no, one or several batch axes, in the dtype of
        `params`; for a network that begins with `Embedding` or `OneHot`, integer ids `[time,
        *batch]`.
      carry: the carry before the first instant; None for `layer.start(params, batch_shape)`.
      fold: how instants are joined and how the derivative is taken: `jaxrnn.folds.scan` (JAX's
        derivative), `bptt` (by hand), `truncated(k)`, or a function of that signature.
      time_axis: where time stands in `xs`, and will stand in `ys`.

    Returns:
      carry: after the last instant of the sequence.
      ys: `[time, *batch, output_size]`, time on `time_axis`.

    Raises:
      TypeError: if `params`, `carry` or `xs` are not of the kind or dtype that the layer needs.
      ValueError: if a shape, a token id or `time_axis` does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 8), jaxrnn.LSTM(8, 4))
      >>> params = network.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((2, 10, 3)), time_axis=1)
      >>> ys.shape
      (2, 10, 4)
      >>> jaxrnn.unroll(network, params, jnp.ones((10, 2, 5)))
      Traceback (most recent call last):
      ValueError: Stack(...): xs has shape (10, 2, 5), so its last axis is 5 wide; expected ...
    """
    border.check_layer(layer)
    border.check_fold(fold)
    border.check_params(layer, params)
    xs = border.as_sequence(xs)
    if not -xs.ndim <= time_axis < max(xs.ndim, 1):
        raise ValueError(f"time_axis={time_axis} is outside xs, whose shape is {xs.shape}.")
    xs = jnp.moveaxis(xs, time_axis, 0)
    border.check_sequence(layer, params, xs)
    batch = border.batch_shape(layer, xs)
    if carry is None:
        carry = layer.start(params, batch)
    else:
        border.check_carry(layer, params, carry, batch)
    carry, ys = _run(layer, params, carry, xs, fold)
    return carry, jnp.moveaxis(ys, 0, time_axis)


# Compiled with the layer and the fold as static values: an equal cell is not traced again.
_run = functools.partial(jax.jit, static_argnames=("layer", "fold"), inline=True)(run)
