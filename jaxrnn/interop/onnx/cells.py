"""ONNX's LSTM and GRU with all their attributes, for nodes that the library's cells do not cover.

Plain nodes become `jaxrnn.LSTM`, `GRU`, `ResetBeforeGRU` and `Elman`, whose derivative is by hand
and fast. Here JAX derives. A model file can hold these cells; whoever reads it must have imported
`jaxrnn.interop.onnx`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import Cell
from jaxrnn.cells import GRUCarry, LSTMCarry
from jaxrnn.description import register
from jaxrnn.initializers import gate_blocks
from jaxrnn.interop.onnx.activations import OnnxActivation
from jaxrnn.linear import affine

SIGMOID, TANH = OnnxActivation("Sigmoid"), OnnxActivation("Tanh")
_INPUT, _RECURRENT = initializers.Glorot(), initializers.Orthogonal()


class OnnxLSTMParams(NamedTuple):
    """Weights of an `OnnxLSTM`: gates in the order i, f, g, o, peepholes in the order i, f, o."""

    input_kernel: Float[Array, "input 4*hidden"]
    recurrent_kernel: Float[Array, "hidden 4*hidden"]
    bias: Float[Array, " 4*hidden"] | None
    peepholes: Float[Array, " 3*hidden"] | None


@register
@dataclasses.dataclass(frozen=True, repr=False)
class OnnxLSTM(Cell[OnnxLSTMParams, LSTMCarry]):
    """The LSTM of ONNX: peepholes, any activations, clipping, coupled gates.

        a = x W + h R + b
        i = φ(a_i + p_i ⊙ c)
        f = φ(a_f + p_f ⊙ c),   or 1 − i where `coupled`
        g = γ(a_g)
        c' = f ⊙ c + i ⊙ g
        o = φ(a_o + p_o ⊙ c')
        h' = o ⊙ η(c'),    y = h'

    Source: ONNX, operator LSTM; peepholes: Gers & Schmidhuber (2000),
    doi:10.1109/IJCNN.2000.861302.
    Differs from the text of the specification in what the attribute `clip` bounds: as in
    onnxruntime the inputs of φ and γ, and not c' before η.

    Attributes:
      input_size: width of x.
      hidden_size: width of h, of c, and of the output y.
      gate_activation: φ.
      candidate_activation: γ.
      output_activation: η.
      coupled: whether f is 1 − i (ONNX's `input_forget`); the f part of the weights is then idle.
      use_bias: whether b is there.
      use_peepholes: whether p is there.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> import jaxrnn
      >>> cell = OnnxLSTM(3, 4, use_peepholes=True)
      >>> params = cell.init(jax.random.key(0))
      >>> jaxrnn.unroll(cell, params, jnp.ones((10, 2, 3)))[1].shape
      (10, 2, 4)
    """

    input_size: int
    hidden_size: int
    gate_activation: OnnxActivation = SIGMOID
    candidate_activation: OnnxActivation = TANH
    output_activation: OnnxActivation = TANH
    coupled: bool = False
    use_bias: bool = True
    use_peepholes: bool = False

    def __post_init__(self):
        _check(self, "gate_activation", "candidate_activation", "output_activation")
        checks.check_flags(self, coupled=self.coupled, use_peepholes=self.use_peepholes)

    def init(self, key: jax.Array) -> OnnxLSTMParams:
        """Draw W and R gate by gate; b and p are 0."""
        hidden = self.hidden_size
        input_kernel, recurrent_kernel = _kernels(self, key, gates=4)
        return OnnxLSTMParams(
            input_kernel=input_kernel,
            recurrent_kernel=recurrent_kernel,
            bias=jnp.zeros(4 * hidden) if self.use_bias else None,
            peepholes=jnp.zeros(3 * hidden) if self.use_peepholes else None,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """h = 0 and c = 0."""
        shape = (*batch_shape, self.hidden_size)
        return LSTMCarry(h=jnp.zeros(shape), c=jnp.zeros(shape))

    def project(self, params, xs):
        """x W + b, all four gates."""
        return affine(xs, params.input_kernel, params.bias)

    def step(self, params, carry, drive):
        """The equations above."""
        a_i, a_f, a_g, a_o = jnp.split(drive + affine(carry.h, params.recurrent_kernel), 4, -1)
        if params.peepholes is not None:
            p_i, p_f, p_o = (_rows(p, a_i) for p in jnp.split(params.peepholes, 3))
            a_i, a_f = a_i + p_i * carry.c, a_f + p_f * carry.c
        i = self.gate_activation(a_i)
        f = 1 - i if self.coupled else self.gate_activation(a_f)
        c = f * carry.c + i * self.candidate_activation(a_g)
        if params.peepholes is not None:
            a_o = a_o + p_o * c
        h = self.gate_activation(a_o) * self.output_activation(c)
        return LSTMCarry(h=h, c=c), h


class OnnxGRUParams(NamedTuple):
    """Weights of an `OnnxGRU`; the gates lie side by side in the order r, z, n."""

    input_kernel: Float[Array, "input 3*hidden"]
    recurrent_kernel: Float[Array, "hidden 3*hidden"]
    bias: Float[Array, " 3*hidden"] | None
    recurrent_bias: Float[Array, " hidden"] | None


@register
@dataclasses.dataclass(frozen=True, repr=False)
class OnnxGRU(Cell[OnnxGRUParams, GRUCarry]):
    """The GRU of ONNX: any activations, clipping, both places for the reset gate.

        [r z] = φ(x W_rz + h R_rz + b_rz)
        n = γ(x Wₙ + bₙ + r ⊙ (h Rₙ + bₕ))        where `reset_after`, else
        n = γ(x Wₙ + bₙ + (r ⊙ h) Rₙ)
        h' = (1 − z) ⊙ n + z ⊙ h,    y = h'

    Source: ONNX, operator GRU.

    Attributes:
      input_size: width of x.
      hidden_size: width of h, and of the output y.
      gate_activation: φ.
      candidate_activation: γ.
      reset_after: whether r acts after the matrix product (ONNX's `linear_before_reset`).
      use_bias: whether b is there, and bₕ where `reset_after`.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> OnnxGRU(3, 4, candidate_activation=OnnxActivation("Softsign")).output_size
      4
    """

    input_size: int
    hidden_size: int
    gate_activation: OnnxActivation = SIGMOID
    candidate_activation: OnnxActivation = TANH
    reset_after: bool = True
    use_bias: bool = True

    def __post_init__(self):
        _check(self, "gate_activation", "candidate_activation")
        checks.check_flags(self, reset_after=self.reset_after)

    def init(self, key: jax.Array) -> OnnxGRUParams:
        """Draw W and R gate by gate; the biases are 0."""
        hidden = self.hidden_size
        input_kernel, recurrent_kernel = _kernels(self, key, gates=3)
        return OnnxGRUParams(
            input_kernel=input_kernel,
            recurrent_kernel=recurrent_kernel,
            bias=jnp.zeros(3 * hidden) if self.use_bias else None,
            recurrent_bias=jnp.zeros(hidden) if self.use_bias and self.reset_after else None,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> GRUCarry:
        """h = 0."""
        return GRUCarry(h=jnp.zeros((*batch_shape, self.hidden_size)))

    def project(self, params, xs):
        """x W + b, all three gates."""
        return affine(xs, params.input_kernel, params.bias)

    def step(self, params, carry, drive):
        """The equations above."""
        drive_rz, drive_n = jnp.split(drive, [2 * self.hidden_size], axis=-1)
        kernel_rz, kernel_n = jnp.split(params.recurrent_kernel, [2 * self.hidden_size], axis=-1)
        rz = self.gate_activation(drive_rz + affine(carry.h, kernel_rz))
        r, z = jnp.split(rz, 2, axis=-1)
        if self.reset_after:
            reset = r * affine(carry.h, kernel_n, params.recurrent_bias)
        else:
            reset = affine(r * carry.h, kernel_n)
        h = (1 - z) * self.candidate_activation(drive_n + reset) + z * carry.h
        return GRUCarry(h=h), h


def _check(cell, *activations):
    checks.check_sizes(cell, input_size=cell.input_size, hidden_size=cell.hidden_size)
    checks.check_flags(cell, use_bias=cell.use_bias)
    for name in activations:
        if not isinstance(getattr(cell, name), OnnxActivation):
            raise TypeError(
                f"{type(cell).__name__}: {name} must be an OnnxActivation, such as "
                f"OnnxActivation('Tanh'); got {getattr(cell, name)!r:.80}."
            )


def _kernels(cell, key, gates):
    input_key, recurrent_key = jax.random.split(key)
    hidden = cell.hidden_size
    return (
        gate_blocks(_INPUT, input_key, (cell.input_size, hidden), gates=gates),
        gate_blocks(_RECURRENT, recurrent_key, (hidden, hidden), gates=gates),
    )


def _rows(vector, like):
    return jnp.broadcast_to(vector.astype(like.dtype), like.shape)
