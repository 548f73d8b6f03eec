"""A cell that keeps two biases where one would do, as `torch.nn` does."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cell import Cell
from jaxrnn.cells import GRU, LSTM, Elman, ProjectedLSTM
from jaxrnn.initializers import gate_blocks
from jaxrnn.networks.border import check_layer
from jaxrnn.networks.network import reading_tokens, run
from jaxrnn.networks.wrapped import Wrapped
from jaxrnn.wrappers import Wrapper


class SplitBiasParams(NamedTuple):
    """Parameters of a `SplitBias`: those of the cell, and the bias that is added to its own."""

    cell: Any
    recurrent_bias: Float[Array, " gates*hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class SplitBias(Wrapped):
    """A cell of `torch.nn` with both of its biases, so that training agrees with torch's too.

        b = b_ih + b_hh,    ∂L/∂b_ih = ∂L/∂b_hh = ∂L/∂b

    The function is that of the cell with the sum of the two, and every fold takes it. What differs
    is training: two biases that move alike move their sum twice as far, and each counts in the
    global norm that gradients are clipped to. `jaxrnn.training.two_biases` imitates that by
    doubling the updates of a single bias, which is exact for optimizers that look at each number by
    itself and blind to clipping; here both are there, so any optimizer does as it does in torch.

    Of a `GRU`, `recurrent_bias` holds the blocks of r and z; that of n, which stands behind the
    reset gate, is the cell's own `recurrent_bias` already.

    Attributes:
      cell: an `Elman`, `LSTM`, `ProjectedLSTM` or `GRU` with a bias, or a wrapper around one.

    Raises:
      TypeError: if it is another layer.
      ValueError: if the cell has no bias.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.SplitBias(jaxrnn.LSTM(3, 4))
      >>> params = cell.init(jax.random.key(0))
      >>> def loss(params):
      ...     return jaxrnn.unroll(cell, params, jnp.ones((10, 2, 3)))[1].sum()
      >>> gradient = jax.grad(loss)(params)
      >>> bool((gradient.cell.bias == gradient.recurrent_bias).all())
      True
    """

    cell: Cell

    def __post_init__(self):
        check_layer(self.cell)
        inside = _innermost(self.cell)
        if not isinstance(inside, Elman | LSTM | ProjectedLSTM | GRU):
            raise TypeError(
                f"SplitBias: {inside!r} is no cell that torch.nn gives two biases; expected an "
                "Elman, LSTM, ProjectedLSTM or GRU."
            )
        if not inside.use_bias:
            raise ValueError(
                f"SplitBias: {inside!r} has no bias to split; leave SplitBias away, or give the "
                "cell use_bias=True."
            )

    @property
    def layer(self) -> Cell:
        """The cell."""
        return self.cell

    def init(self, key: jax.Array) -> SplitBiasParams:
        """Draw the cell's parameters, and the second bias as its `bias_init` draws the first."""
        cell_key, bias_key = jax.random.split(key)
        inside = _innermost(self.cell)
        hidden = (inside.hidden_size,)
        match inside:
            case Elman():
                recurrent_bias = inside.bias_init(bias_key, hidden)
            case GRU():
                recurrent_bias = gate_blocks(inside.bias_init, bias_key, hidden, gates=2)
            case _:
                recurrent_bias = gate_blocks(inside.bias_init, bias_key, hidden, gates=4)
        return SplitBiasParams(cell=self.cell.init(cell_key), recurrent_bias=recurrent_bias)

    def start(self, params: SplitBiasParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """The cell's start."""
        return self.cell.start(params.cell, batch_shape)

    def __call__(self, params, carry, x):
        """One instant of the cell."""
        return self.cell(joined(params), carry, x)

    def reading_tokens(self, params, vectors, tokens):
        """The cell alone, reading tokens."""
        return reading_tokens(self.cell, joined(params), vectors, tokens)

    def apply(self, params, carry, xs, fold, context):
        """The cell over the whole sequence."""
        return run(self.cell, joined(params), carry, xs, fold, context)


def joined(params: SplitBiasParams) -> Any:
    """The parameters of the cell alone, its bias the sum of both.

    Example:
      >>> import jax, jaxrnn
      >>> params = SplitBias(jaxrnn.Elman(2, 3)).init(jax.random.key(0))
      >>> params = params._replace(recurrent_bias=jax.numpy.ones(3))
      >>> joined(params).bias.tolist()
      [1.0, 1.0, 1.0]
    """
    cell, more = params
    both = more.shape[-1]  # Of a GRU, what comes after belongs to n.
    bias = jnp.concatenate([cell.bias[..., :both] + more, cell.bias[..., both:]], axis=-1)
    return cell._replace(bias=bias)


def _innermost(cell: Cell) -> Cell:
    return _innermost(cell.cell) if isinstance(cell, Wrapper) else cell
