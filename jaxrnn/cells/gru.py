"""The gated recurrent unit, reset after the matrix product (as in cuDNN and torch)."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import GatedCell
from jaxrnn.cells.gates import sigmoid
from jaxrnn.initializers import Initializer, gate_blocks
from jaxrnn.linear import affine, contract, sum_leading


class GRUParams(NamedTuple):
    """Weights of a `GRU`; the gates lie side by side in the order r, z, n."""

    input_kernel: Float[Array, "input 3*hidden"]
    recurrent_kernel: Float[Array, "hidden 3*hidden"]
    bias: Float[Array, " 3*hidden"] | None
    recurrent_bias: Float[Array, " hidden"] | None


class GRUCarry(NamedTuple):
    """What one instant of a gated recurrent unit tells the next."""

    h: Float[Array, "*batch hidden"]


class GRUGates(NamedTuple):
    """The gates of one instant, or what goes into each: reset, update, candidate."""

    r: Float[Array, "*batch hidden"]
    z: Float[Array, "*batch hidden"]
    n: Float[Array, "*batch hidden"]


class GRUResidual(NamedTuple):
    """What the backward pass needs of one instant, as factors ready to multiply a cotangent.

    Attributes:
      h: the old hidden state.
      r: the reset gate, which stands between Rₙ and n.
      z: ∂h'/∂h where h goes straight through, the update gate.
      h_to_n: ∂h'/∂ of what went into n: (1 − z) ⊙ (1 − n²).
      h_to_z: ∂h'/∂ of what went into z: (h − n) ⊙ z(1 − z).
      n_to_r: ∂ of what went into n / ∂ of what went into r: q ⊙ r(1 − r), with q = h Rₙ + bₕ.
    """

    h: Float[Array, "*batch hidden"]
    r: Float[Array, "*batch hidden"]
    z: Float[Array, "*batch hidden"]
    h_to_n: Float[Array, "*batch hidden"]
    h_to_z: Float[Array, "*batch hidden"]
    n_to_r: Float[Array, "*batch hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class GRU(GatedCell[GRUParams, GRUCarry]):
    """Gated recurrent unit whose reset gate acts AFTER the matrix product.

        [r z] = σ(x W_rz + b_rz + h R_rz)
        n = tanh(x Wₙ + bₙ + r ⊙ (h Rₙ + bₕ))
        h' = (1 − z) ⊙ n + z ⊙ h,    y = h'

    The three recurrent products are one, which is why cuDNN and `torch.nn.GRU` chose this form.
    Not to be confused with the paper's, which resets h first: see `ResetBeforeGRU`. Trained
    weights of one do not fit the other.

    Source: Cho et al. (2014), arXiv:1406.1078v1; the form with bₕ as in cuDNN.
    Differs from `torch.nn.GRU` only in keeping one bias for r and z where PyTorch adds two; for n
    both stay, since r stands between them.

    Backpropagation through time, with d_h' the cotangent that arrives (d_y included), q = h Rₙ +
    bₕ:

        d_n = d_h' ⊙ (1−z) ⊙ (1−n²)    d_z = d_h' ⊙ (h−n) ⊙ z(1−z)    d_r = d_n ⊙ q ⊙ r(1−r)
        d_h = d_h' ⊙ z + [d_r d_z d_n⊙r] Rᵀ                 handed to the instant before

    Attributes:
      input_size: width of x.
      hidden_size: width of h, and of the output y.
      use_bias: whether b and bₕ are there.
      input_init: initializer of each gate's block of W.
      recurrent_init: initializer of each gate's block of R.
      bias_init: initializer of each gate's block of b, and of bₕ.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.GRU(input_size=3, hidden_size=4)
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

    def init(self, key: jax.Array) -> GRUParams:
        """Draw W, R, b and bₕ gate by gate."""
        input_key, recurrent_key, bias_key, recurrent_bias_key = jax.random.split(key, 4)
        hidden = self.hidden_size
        bias = recurrent_bias = None
        if self.use_bias:
            bias = gate_blocks(self.bias_init, bias_key, (hidden,), gates=3)
            recurrent_bias = self.bias_init(recurrent_bias_key, (hidden,))
        return GRUParams(
            input_kernel=gate_blocks(
                self.input_init, input_key, (self.input_size, hidden), gates=3
            ),
            recurrent_kernel=gate_blocks(
                self.recurrent_init, recurrent_key, (hidden, hidden), gates=3
            ),
            bias=bias,
            recurrent_bias=recurrent_bias,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> GRUCarry:
        """h = 0."""
        return GRUCarry(h=jnp.zeros((*batch_shape, self.hidden_size)))

    def project(self, params: GRUParams, xs: Float[Array, "*any input"]) -> GRUGates:
        """x W + b, in three arrays: cut out of one, they would cost the loop twice the time."""
        return _each_gate(affine(xs, params.input_kernel, params.bias))

    def gates(self, params: GRUParams, carry: GRUCarry, drive: GRUGates) -> GRUGates:
        """r, z and n of the equations above."""
        return self._gates(params, carry, drive)[0]

    def update(
        self, params: GRUParams, carry: GRUCarry, gates: GRUGates
    ) -> tuple[GRUCarry, Float[Array, "*batch hidden"]]:
        """The new h: h' = (1 − z) ⊙ n + z ⊙ h."""
        h = (1 - gates.z) * gates.n + gates.z * carry.h
        return GRUCarry(h=h), h

    def forward(self, params, carry, drive):
        """One instant, and the slopes of h'."""
        gates, q = self._gates(params, carry, drive)
        new_carry, y = self.update(params, carry, gates)
        r, z, n = gates
        residual = GRUResidual(
            h=carry.h,
            r=r,
            z=z,
            h_to_n=(1 - z) * (1 - n * n),
            h_to_z=(carry.h - n) * z * (1 - z),
            n_to_r=q * r * (1 - r),
        )
        return new_carry, y, residual

    def _gates(self, params, carry, drive):
        recurrent_r, recurrent_z, q = _each_gate(affine(carry.h, params.recurrent_kernel))
        r, z = sigmoid(drive.r + recurrent_r), sigmoid(drive.z + recurrent_z)
        if params.recurrent_bias is not None:
            q = q + jnp.broadcast_to(params.recurrent_bias.astype(q.dtype), q.shape)
        return GRUGates(r=r, z=z, n=jnp.tanh(drive.n + r * q)), q

    def backward(self, params, residual, d_carry, d_y):
        """The cotangents of r, z, n before they were squashed, and from them that of the old h."""
        d_h = d_carry.h + d_y
        d_n = d_h * residual.h_to_n
        d_z = d_h * residual.h_to_z
        d_r = d_n * residual.n_to_r
        d_recurrent = jnp.concatenate([d_r, d_z, d_n * residual.r], axis=-1)
        d_h = d_h * residual.z + affine(d_recurrent, params.recurrent_kernel.T)
        return GRUCarry(h=d_h), jnp.concatenate([d_r, d_z, d_n], axis=-1)

    def drive_cotangent(self, d_drives):
        """d_r, d_z, d_n, each by itself as `project` made them."""
        return _each_gate(d_drives)

    def gradients(self, params, xs, residuals, d_drives):
        """d_W = Σ xᵀ [d_r d_z d_n] and d_R = Σ hᵀ [d_r d_z d_n⊙r]: r stands between Rₙ and n."""
        d_rz, d_n = jnp.split(d_drives, [2 * self.hidden_size], axis=-1)
        d_q = d_n * residuals.r
        d_recurrent = jnp.concatenate([d_rz, d_q], axis=-1)
        d_params = GRUParams(
            input_kernel=contract(xs, d_drives, params.input_kernel),
            recurrent_kernel=contract(residuals.h, d_recurrent, params.recurrent_kernel),
            bias=sum_leading(d_drives) if self.use_bias else None,
            recurrent_bias=sum_leading(d_q) if self.use_bias else None,
        )
        return d_params, affine(d_drives, params.input_kernel.T)


def _each_gate(block: jax.Array) -> GRUGates:
    return GRUGates(*jnp.split(block, 3, axis=-1))
