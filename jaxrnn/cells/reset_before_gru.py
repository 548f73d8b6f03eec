"""The gated recurrent unit, reset before the matrix product (as in the paper)."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import GatedCell
from jaxrnn.cells.gates import sigmoid_tanh_block
from jaxrnn.cells.gru import GRUCarry, GRUGates
from jaxrnn.initializers import Initializer, gate_blocks
from jaxrnn.linear import affine, contract, sum_leading


class ResetBeforeGRUParams(NamedTuple):
    """Weights of a `ResetBeforeGRU`; the gates lie side by side in the order r, z, n."""

    input_kernel: Float[Array, "input 3*hidden"]
    recurrent_kernel: Float[Array, "hidden 3*hidden"]
    bias: Float[Array, " 3*hidden"] | None


class ResetBeforeGRUResidual(NamedTuple):
    """What the backward pass needs of one instant, as factors ready to multiply a cotangent.

    Attributes:
      h: the old hidden state.
      r: ∂s/∂h where h goes straight into s = r ⊙ h, the reset gate.
      z: ∂h'/∂h where h goes straight through, the update gate.
      h_to_n: ∂h'/∂ of what went into n: (1 − z) ⊙ (1 − n²).
      h_to_z: ∂h'/∂ of what went into z: (h − n) ⊙ z(1 − z).
      s_to_r: ∂s/∂ of what went into r: h ⊙ r(1 − r).
    """

    h: Float[Array, "*batch hidden"]
    r: Float[Array, "*batch hidden"]
    z: Float[Array, "*batch hidden"]
    h_to_n: Float[Array, "*batch hidden"]
    h_to_z: Float[Array, "*batch hidden"]
    s_to_r: Float[Array, "*batch hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class ResetBeforeGRU(GatedCell[ResetBeforeGRUParams, GRUCarry]):
    """Gated recurrent unit whose reset gate acts BEFORE the matrix product.

        [r z] = σ(x W_rz + h R_rz + b_rz)
        n = tanh(x Wₙ + (r ⊙ h) Rₙ + bₙ)
        h' = (1 − z) ⊙ n + z ⊙ h,    y = h'

    Each step needs two matrix products in a row, the second waiting for r; `GRU` needs one.

    Source: Cho et al. (2014), eqs. 5–8, arXiv:1406.1078v3.
    Differs from the paper in having biases. Haiku's `GRU` is this one with z in the opposite sense,
    Keras' is this one with `reset_after=False`.

    Backpropagation through time, with d_h' the cotangent that arrives (d_y included):

        d_n = d_h' ⊙ (1−z) ⊙ (1−n²)    d_z = d_h' ⊙ (h−n) ⊙ z(1−z)
        d_s = d_n Rₙᵀ                   s = r ⊙ h
        d_r = d_s ⊙ h ⊙ r(1−r)
        d_h = d_h' ⊙ z + d_s ⊙ r + [d_r d_z] R_rzᵀ           handed to the instant before

    Attributes:
      input_size: width of x.
      hidden_size: width of h, and of the output y.
      use_bias: whether b is there.
      input_init: initializer of each gate's block of W.
      recurrent_init: initializer of each gate's block of R.
      bias_init: initializer of each gate's block of b.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.ResetBeforeGRU(input_size=3, hidden_size=4)
      >>> carry, ys = jaxrnn.unroll(cell, cell.init(jax.random.key(0)), jnp.ones((10, 3)))
      >>> ys.shape
      (10, 4)
    """

    candidate: ClassVar[str] = "n"

    input_size: int
    hidden_size: int
    use_bias: bool = True
    input_init: Initializer = initializers.Glorot()
    recurrent_init: Initializer = initializers.Orthogonal()
    bias_init: Initializer = initializers.Constant(0.0)

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size, hidden_size=self.hidden_size)
        checks.check_options(self)

    def init(self, key: jax.Array) -> ResetBeforeGRUParams:
        """Draw W, R and b gate by gate."""
        input_key, recurrent_key, bias_key = jax.random.split(key, 3)
        hidden = self.hidden_size
        bias = gate_blocks(self.bias_init, bias_key, (hidden,), gates=3) if self.use_bias else None
        return ResetBeforeGRUParams(
            input_kernel=gate_blocks(
                self.input_init, input_key, (self.input_size, hidden), gates=3
            ),
            recurrent_kernel=gate_blocks(
                self.recurrent_init, recurrent_key, (hidden, hidden), gates=3
            ),
            bias=bias,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> GRUCarry:
        """h = 0."""
        return GRUCarry(h=jnp.zeros((*batch_shape, self.hidden_size)))

    def project(
        self, params: ResetBeforeGRUParams, xs: Float[Array, "*any input"]
    ) -> Float[Array, "*any 3*hidden"]:
        """x W + b, all three gates."""
        return affine(xs, params.input_kernel, params.bias)

    def gates(
        self, params: ResetBeforeGRUParams, carry: GRUCarry, drive: Float[Array, "*batch 3*hidden"]
    ) -> GRUGates:
        """r, z and n of the equations above."""
        drive_rz, drive_n = jnp.split(drive, [2 * self.hidden_size], axis=-1)
        kernel_rz, kernel_n = self._recurrent_kernels(params)
        rz = sigmoid_tanh_block(drive_rz + affine(carry.h, kernel_rz), "ss")
        r, z = jnp.split(rz, 2, axis=-1)
        return GRUGates(r=r, z=z, n=jnp.tanh(drive_n + affine(r * carry.h, kernel_n)))

    def update(
        self, params: ResetBeforeGRUParams, carry: GRUCarry, gates: GRUGates
    ) -> tuple[GRUCarry, Float[Array, "*batch hidden"]]:
        """The new h: h' = (1 − z) ⊙ n + z ⊙ h."""
        h = (1 - gates.z) * gates.n + gates.z * carry.h
        return GRUCarry(h=h), h

    def forward(self, params, carry, drive):
        """One instant, and the slopes of h'."""
        gates = self.gates(params, carry, drive)
        new_carry, y = self.update(params, carry, gates)
        r, z, n = gates
        residual = ResetBeforeGRUResidual(
            h=carry.h,
            r=r,
            z=z,
            h_to_n=(1 - z) * (1 - n * n),
            h_to_z=(carry.h - n) * z * (1 - z),
            s_to_r=carry.h * r * (1 - r),
        )
        return new_carry, y, residual

    def backward(self, params, residual, d_carry, d_y):
        """The cotangents of r, z, n before they were squashed, and from them that of the old h."""
        kernel_rz, kernel_n = self._recurrent_kernels(params)
        d_h = d_carry.h + d_y
        d_n = d_h * residual.h_to_n
        d_z = d_h * residual.h_to_z
        d_s = affine(d_n, kernel_n.T)
        d_r = d_s * residual.s_to_r
        d_rz = jnp.concatenate([d_r, d_z], axis=-1)
        d_h = d_h * residual.z + d_s * residual.r + affine(d_rz, kernel_rz.T)
        return GRUCarry(h=d_h), jnp.concatenate([d_rz, d_n], axis=-1)

    def drive_cotangent(self, d_drives):
        """[d_r d_z d_n], as they are."""
        return d_drives

    def gradients(self, params, xs, residuals, d_drives):
        """d_W = Σ xᵀ [d_r d_z d_n], d_R_rz = Σ hᵀ [d_r d_z], d_Rₙ = Σ (r⊙h)ᵀ d_n."""
        d_rz, d_n = jnp.split(d_drives, [2 * self.hidden_size], axis=-1)
        kernel = params.recurrent_kernel
        d_recurrent = [
            contract(residuals.h, d_rz, kernel),
            contract(residuals.r * residuals.h, d_n, kernel),
        ]
        d_params = ResetBeforeGRUParams(
            input_kernel=contract(xs, d_drives, params.input_kernel),
            recurrent_kernel=jnp.concatenate(d_recurrent, axis=-1),
            bias=sum_leading(d_drives) if self.use_bias else None,
        )
        return d_params, affine(d_drives, params.input_kernel.T)

    def _recurrent_kernels(self, params):
        return jnp.split(params.recurrent_kernel, [2 * self.hidden_size], axis=-1)
