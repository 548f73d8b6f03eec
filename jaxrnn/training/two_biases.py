"""Training one bias as PyTorch trains two."""

from typing import Any

import jax
import optax

from jaxrnn.cells import ElmanParams, GRUParams, LSTMParams, ProjectedLSTMParams
from jaxrnn.networks import SplitBiasParams


def two_biases() -> optax.GradientTransformation:
    """Double the updates of every bias that `torch.nn` keeps twice.

        b = b_ih + b_hh,    ∂L/∂b_ih = ∂L/∂b_hh = ∂L/∂b    ⟹    Δb = Δb_ih + Δb_hh = 2 Δb_ih

    `torch.nn.RNN` and `LSTM` add two biases where one would do. Both see the same gradient and make
    the same move, so their sum moves twice as far. Put this after an optimizer that looks at each
    number by itself (SGD, momentum, Adam, RMSprop), and training follows PyTorch's step by step. Of
    a `GRU` the biases of r and z are meant; n has two in both libraries.

    Where numbers are looked at together (clipping by the global norm, LAMB), keep both biases
    instead: `jaxrnn.SplitBias`, whose parameters are left as they are here.

    Returns:
      A transformation without state, to be chained after the optimizer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> params = jaxrnn.Elman(2, 3).init(jax.random.key(0))
      >>> optimizer = optax.chain(optax.sgd(0.1), two_biases())
      >>> gradient = jax.tree.map(jnp.ones_like, params)
      >>> updates, _ = optimizer.update(gradient, optimizer.init(params))
      >>> [f"{x.min():.1f}" for x in (updates.input_kernel, updates.bias)]
      ['-0.1', '-0.2']
    """
    return optax.stateless(lambda updates, params: jax.tree.map(_double, updates, is_leaf=_is_leaf))


def _is_leaf(node: Any) -> bool:
    # Two that are there already need no imitation.
    return _is_cell(node) or isinstance(node, SplitBiasParams)


def _is_cell(node: Any) -> bool:
    return isinstance(node, ElmanParams | GRUParams | LSTMParams | ProjectedLSTMParams)


def _double(updates):
    if not _is_cell(updates) or updates.bias is None:
        return updates
    if isinstance(updates, GRUParams):
        gates = 2 * updates.recurrent_bias.shape[-1]
        return updates._replace(bias=updates.bias.at[..., :gates].multiply(2))
    return updates._replace(bias=2 * updates.bias)
