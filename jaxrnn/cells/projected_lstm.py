"""Long short-term memory whose output is narrower than its memory."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import GatedCell
from jaxrnn.cells.gates import sigmoid_tanh_block
from jaxrnn.cells.lstm import (
    LSTMCarry,
    LSTMGates,
    LSTMResidual,
    lstm_backward,
    lstm_residual,
)
from jaxrnn.initializers import Initializer, gate_blocks
from jaxrnn.linear import affine, contract, sum_leading


class ProjectedLSTMParams(NamedTuple):
    """Weights of a `ProjectedLSTM`; the gates lie side by side in the order i, f, g, o."""

    input_kernel: Float[Array, "input 4*hidden"]
    recurrent_kernel: Float[Array, "projection 4*hidden"]
    bias: Float[Array, " 4*hidden"] | None
    projection_kernel: Float[Array, "hidden projection"]


class ProjectedLSTMResidual(NamedTuple):
    """What the backward pass needs of one instant: that of an `LSTM`, and m = o ⊙ tanh(c')."""

    lstm: LSTMResidual
    m: Float[Array, "*batch hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class ProjectedLSTM(GatedCell[ProjectedLSTMParams, LSTMCarry]):
    """Long short-term memory with a linear map after the output gate.

        [i f g o] = [σ σ tanh σ](x W + h R + b)
        c' = f ⊙ c + i ⊙ g
        h' = (o ⊙ tanh(c')) P,    y = h'

    The recurrent kernel shrinks with h, which lets the memory c be wide and the products small.

    Source: Sak, Senior & Beaufays (2014), arXiv:1402.1128, without peepholes.
    Differs from `torch.nn.LSTM(proj_size=…)` only in keeping one bias where PyTorch adds two.

    Backpropagation through time is that of `LSTM` with d_m = d_h' Pᵀ for the d_h' there, and

        d_P = Σ (o ⊙ tanh c')ᵀ d_h'          after the loop

    Attributes:
      input_size: width of x.
      hidden_size: width of c.
      projection_size: width of h and of the output y, less than `hidden_size`.
      use_bias: whether b is there.
      forget_bias: added to the f block of b once, in `init`; never in the forward pass.
      input_init: initializer of each gate's block of W.
      recurrent_init: initializer of each gate's block of R.
      bias_init: initializer of each gate's block of b.
      projection_init: initializer of P.

    Raises:
      ValueError: if a size is not a positive integer, or the projection is not narrower than c.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.ProjectedLSTM(input_size=3, hidden_size=8, projection_size=2)
      >>> carry, ys = jaxrnn.unroll(cell, cell.init(jax.random.key(0)), jnp.ones((10, 3)))
      >>> ys.shape, carry.c.shape
      ((10, 2), (8,))
    """

    candidate: ClassVar[str] = "g"

    input_size: int
    hidden_size: int
    projection_size: int
    use_bias: bool = True
    forget_bias: float = 1.0
    input_init: Initializer = initializers.Glorot()
    recurrent_init: Initializer = initializers.Orthogonal()
    bias_init: Initializer = initializers.Constant(0.0)
    projection_init: Initializer = initializers.Glorot()

    def __post_init__(self):
        checks.check_sizes(
            self,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            projection_size=self.projection_size,
        )
        checks.check_options(self)
        if self.projection_size >= self.hidden_size:
            raise ValueError(
                f"ProjectedLSTM: projection_size must be smaller than hidden_size, got "
                f"{self.projection_size} and {self.hidden_size}; without a projection use LSTM."
            )

    def init(self, key: jax.Array) -> ProjectedLSTMParams:
        """Draw W, R, b and P, and add `forget_bias` to the f block of b."""
        input_key, recurrent_key, bias_key, projection_key = jax.random.split(key, 4)
        hidden, projection = self.hidden_size, self.projection_size
        bias = None
        if self.use_bias:
            bias = gate_blocks(self.bias_init, bias_key, (hidden,), gates=4)
            bias = bias.at[hidden : 2 * hidden].add(self.forget_bias)
        return ProjectedLSTMParams(
            input_kernel=gate_blocks(
                self.input_init, input_key, (self.input_size, hidden), gates=4
            ),
            recurrent_kernel=gate_blocks(
                self.recurrent_init, recurrent_key, (projection, hidden), gates=4
            ),
            bias=bias,
            projection_kernel=self.projection_init(projection_key, (hidden, projection)),
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """h = 0 and c = 0."""
        return LSTMCarry(
            h=jnp.zeros((*batch_shape, self.projection_size)),
            c=jnp.zeros((*batch_shape, self.hidden_size)),
        )

    def project(
        self, params: ProjectedLSTMParams, xs: Float[Array, "*any input"]
    ) -> Float[Array, "*any 4*hidden"]:
        """x W + b, all four gates."""
        return affine(xs, params.input_kernel, params.bias)

    def gates(
        self, params: ProjectedLSTMParams, carry: LSTMCarry, drive: Float[Array, "*batch 4*hidden"]
    ) -> LSTMGates:
        """[i f g o] = [σ σ tanh σ](drive + h R)."""
        block = sigmoid_tanh_block(drive + affine(carry.h, params.recurrent_kernel), "ssts")
        return LSTMGates(*jnp.split(block, 4, axis=-1))

    def update(
        self, params: ProjectedLSTMParams, carry: LSTMCarry, gates: LSTMGates
    ) -> tuple[LSTMCarry, Float[Array, "*batch projection"]]:
        """The new carry: c' = f ⊙ c + i ⊙ g and h' = (o ⊙ tanh(c')) P."""
        c = gates.f * carry.c + gates.i * gates.g
        h = affine(gates.o * jnp.tanh(c), params.projection_kernel)
        return LSTMCarry(h=h, c=c), h

    def forward(self, params, carry, drive):
        """One instant, the slopes of c' and m, and m itself."""
        gates = self.gates(params, carry, drive)
        new_carry, y = self.update(params, carry, gates)
        tanh_c = jnp.tanh(new_carry.c)
        residual = lstm_residual(carry, gates, tanh_c)
        return new_carry, y, ProjectedLSTMResidual(residual, m=gates.o * tanh_c)

    def backward(self, params, residual, d_carry, d_y):
        """That of an `LSTM`, once d_m = d_h' Pᵀ; d_h' is kept for d_P."""
        d_h = d_carry.h + d_y
        d_m = affine(d_h, params.projection_kernel.T)
        d_gates, d_c = lstm_backward(residual.lstm, d_carry.c, d_m)
        return LSTMCarry(h=affine(d_gates, params.recurrent_kernel.T), c=d_c), (d_gates, d_h)

    def drive_cotangent(self, d_drives):
        """[d_i d_f d_g d_o], without d_h'."""
        return d_drives[0]

    def gradients(self, params, xs, residuals, d_drives):
        """d_W, d_R and d_b as in `LSTM`; d_P = Σ mᵀ d_h'; and d_x."""
        d_gates, d_hs = d_drives
        d_params = ProjectedLSTMParams(
            input_kernel=contract(xs, d_gates, params.input_kernel),
            recurrent_kernel=contract(residuals.lstm.h, d_gates, params.recurrent_kernel),
            bias=sum_leading(d_gates) if self.use_bias else None,
            projection_kernel=contract(residuals.m, d_hs, params.projection_kernel),
        )
        return d_params, affine(d_gates, params.input_kernel.T)
