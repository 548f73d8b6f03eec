"""Long short-term memory."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import GatedCell
from jaxrnn.cells.gates import sigmoid_tanh_block
from jaxrnn.initializers import Initializer, gate_blocks
from jaxrnn.linear import affine, contract, sum_leading


class LSTMParams(NamedTuple):
    """Weights of an `LSTM`; the gates lie side by side in the order i, f, g, o."""

    input_kernel: Float[Array, "input 4*hidden"]
    recurrent_kernel: Float[Array, "hidden 4*hidden"]
    bias: Float[Array, " 4*hidden"] | None


class LSTMCarry(NamedTuple):
    """What one instant of an `LSTM` tells the next."""

    h: Float[Array, "*batch hidden"]
    c: Float[Array, "*batch hidden"]


class LSTMGates(NamedTuple):
    """The gates of one instant: input, forget, candidate, output."""

    i: Float[Array, "*batch hidden"]
    f: Float[Array, "*batch hidden"]
    g: Float[Array, "*batch hidden"]
    o: Float[Array, "*batch hidden"]


class LSTMResidual(NamedTuple):
    """What the backward pass needs of one instant, as factors ready to multiply a cotangent.

    Taken in the forward loop, where the gates are at hand: as many arrays as the gates themselves,
    and the backward loop, which is the longer one, has only to multiply.

    Attributes:
      h: the old hidden state.
      to_gates: ∂c'/∂ of what went into i, f and g, and ∂h'/∂ of what went into o.
      h_to_c: ∂h'/∂c' = o ⊙ (1 − tanh²c').
      c_to_c: ∂c'/∂c = f.
    """

    h: Float[Array, "*batch hidden"]
    to_gates: LSTMGates
    h_to_c: Float[Array, "*batch hidden"]
    c_to_c: Float[Array, "*batch hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class LSTM(GatedCell[LSTMParams, LSTMCarry]):
    """Long short-term memory with a forget gate.

        [i f g o] = [σ σ tanh σ](x W + h R + b)
        c' = f ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c'),    y = h'

    Source: Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015, without peepholes.
    Differs from `torch.nn.LSTM` only in keeping one bias where PyTorch adds two.

    Backpropagation through time, with d_h' and d_c' the cotangents that arrive (d_h' includes d_y):

        d_c' += d_h' ⊙ o ⊙ (1 − tanh²c')
        d_i = d_c' ⊙ g ⊙ i(1−i)    d_f = d_c' ⊙ c ⊙ f(1−f)
        d_g = d_c' ⊙ i ⊙ (1−g²)    d_o = d_h' ⊙ tanh c' ⊙ o(1−o)
        d_h = [d_i d_f d_g d_o] Rᵀ,    d_c = d_c' ⊙ f         handed to the instant before

    Attributes:
      input_size: width of x.
      hidden_size: width of h, of c, and of the output y.
      use_bias: whether b is there.
      forget_bias: added to the f block of b once, in `init`; never in the forward pass.
        1 lets gradients through from the beginning (Jozefowicz, Zaremba & Sutskever, 2015).
      input_init: initializer of each gate's block of W.
      recurrent_init: initializer of each gate's block of R.
      bias_init: initializer of each gate's block of b.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.LSTM(input_size=3, hidden_size=4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((10, 2, 3)))
      >>> ys.shape, carry.c.shape
      ((10, 2, 4), (2, 4))
    """

    candidate: ClassVar[str] = "g"

    input_size: int
    hidden_size: int
    use_bias: bool = True
    forget_bias: float = 1.0
    input_init: Initializer = initializers.Glorot()
    recurrent_init: Initializer = initializers.Orthogonal()
    bias_init: Initializer = initializers.Constant(0.0)

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size, hidden_size=self.hidden_size)
        checks.check_options(self)

    def init(self, key: jax.Array) -> LSTMParams:
        """Draw W, R and b gate by gate, and add `forget_bias` to the f block of b."""
        input_key, recurrent_key, bias_key = jax.random.split(key, 3)
        hidden = self.hidden_size
        bias = None
        if self.use_bias:
            bias = gate_blocks(self.bias_init, bias_key, (hidden,), gates=4)
            bias = bias.at[hidden : 2 * hidden].add(self.forget_bias)
        return LSTMParams(
            input_kernel=gate_blocks(
                self.input_init, input_key, (self.input_size, hidden), gates=4
            ),
            recurrent_kernel=gate_blocks(
                self.recurrent_init, recurrent_key, (hidden, hidden), gates=4
            ),
            bias=bias,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """h = 0 and c = 0, in two buffers: a donated state must not hold one array twice."""
        shape = (*batch_shape, self.hidden_size)
        return LSTMCarry(h=jnp.zeros(shape), c=jnp.zeros(shape))

    def project(
        self, params: LSTMParams, xs: Float[Array, "*any input"]
    ) -> Float[Array, "*any 4*hidden"]:
        """x W + b, all four gates."""
        return affine(xs, params.input_kernel, params.bias)

    def gates(
        self, params: LSTMParams, carry: LSTMCarry, drive: Float[Array, "*batch 4*hidden"]
    ) -> LSTMGates:
        """[i f g o] = [σ σ tanh σ](drive + h R)."""
        block = sigmoid_tanh_block(drive + affine(carry.h, params.recurrent_kernel), "ssts")
        return LSTMGates(*jnp.split(block, 4, axis=-1))

    def update(
        self, params: LSTMParams, carry: LSTMCarry, gates: LSTMGates
    ) -> tuple[LSTMCarry, Float[Array, "*batch hidden"]]:
        """The new carry: c' = f ⊙ c + i ⊙ g and h' = o ⊙ tanh(c')."""
        c = gates.f * carry.c + gates.i * gates.g
        h = gates.o * jnp.tanh(c)
        return LSTMCarry(h=h, c=c), h

    def forward(self, params, carry, drive):
        """One instant, and the slopes of c' and h'."""
        gates = self.gates(params, carry, drive)
        new_carry, y = self.update(params, carry, gates)
        return new_carry, y, lstm_residual(carry, gates, jnp.tanh(new_carry.c))

    def backward(self, params, residual, d_carry, d_y):
        """The cotangents of what went into i, f, g, o, and from them those of the old h and c."""
        d_h = d_carry.h + d_y
        d_gates, d_c = lstm_backward(residual, d_carry.c, d_h)
        return LSTMCarry(h=affine(d_gates, params.recurrent_kernel.T), c=d_c), d_gates

    def drive_cotangent(self, d_drives):
        """[d_i d_f d_g d_o], as they are."""
        return d_drives

    def gradients(self, params, xs, residuals, d_drives):
        """d_W = Σ xᵀ d, d_R = Σ hᵀ d, d_b = Σ d with d = [d_i d_f d_g d_o]; and d_x = d Wᵀ."""
        d_params = LSTMParams(
            input_kernel=contract(xs, d_drives, params.input_kernel),
            recurrent_kernel=contract(residuals.h, d_drives, params.recurrent_kernel),
            bias=sum_leading(d_drives) if self.use_bias else None,
        )
        return d_params, affine(d_drives, params.input_kernel.T)


def lstm_residual(carry: LSTMCarry, gates: LSTMGates, tanh_c: jax.Array) -> LSTMResidual:
    """The slopes of one instant: σ′ = σ(1 − σ), tanh′ = 1 − tanh²."""
    i, f, g, o = gates
    to_gates = LSTMGates(
        i=g * i * (1 - i),
        f=carry.c * f * (1 - f),
        g=i * (1 - g * g),
        o=tanh_c * o * (1 - o),
    )
    return LSTMResidual(carry.h, to_gates, h_to_c=o * (1 - tanh_c * tanh_c), c_to_c=f)


def lstm_backward(
    residual: LSTMResidual, d_c: jax.Array, d_m: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """[d_i d_f d_g d_o] and the cotangent of c, from those of c' and of m = o ⊙ tanh(c')."""
    d_c = d_c + d_m * residual.h_to_c
    to = residual.to_gates
    d_gates = jnp.concatenate([d_c * to.i, d_c * to.f, d_c * to.g, d_m * to.o], axis=-1)
    return d_gates, d_c * residual.c_to_c
