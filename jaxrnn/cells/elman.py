"""The simple recurrent network."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn import checks, initializers
from jaxrnn.cell import ManualCell
from jaxrnn.cells.gates import Activation, pull_back, squash
from jaxrnn.initializers import Initializer
from jaxrnn.linear import affine, contract, sum_leading


class ElmanParams(NamedTuple):
    """Weights of an `Elman` cell; `bias` is None in a cell without one."""

    input_kernel: Float[Array, "input hidden"]
    recurrent_kernel: Float[Array, "hidden hidden"]
    bias: Float[Array, " hidden"] | None


class ElmanCarry(NamedTuple):
    """What one instant of an `Elman` cell tells the next."""

    h: Float[Array, "*batch hidden"]


class ElmanResidual(NamedTuple):
    """What the backward pass needs of one instant: the carry it received, and φ′ (see `squash`)."""

    h: Float[Array, "*batch hidden"]
    slope: Float[Array, "*batch hidden"]


@dataclasses.dataclass(frozen=True, repr=False)
class Elman(ManualCell[ElmanParams, ElmanCarry]):
    """The simple recurrent network: h' is a squashed affine map of the input and the old h.

        h' = φ(x W + h R + b),    y = h'

    Source: Elman (1990), "Finding Structure in Time", doi:10.1207/s15516709cog1402_1.
    Differs from `torch.nn.RNN` only in keeping one bias where PyTorch adds two.

    Backpropagation through time, with d_h' the total cotangent of h':

        d_a = d_h' ⊙ φ′(a)          a = x W + h R + b
        d_h = d_a Rᵀ                handed to the instant before
        d_W = Σ xᵀ d_a    d_R = Σ hᵀ d_a    d_b = Σ d_a    d_x = d_a Wᵀ      after the loop

    Attributes:
      input_size: width of x.
      hidden_size: width of h, and of the output y.
      activation: φ, a pointwise function: `jnp.tanh`, `jax.nn.relu`, or any other.
      use_bias: whether b is there.
      input_init: initializer of W.
      recurrent_init: initializer of R; `initializers.Identity()` with relu makes an IRNN.
      bias_init: initializer of b.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.Elman(input_size=3, hidden_size=4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, y = cell(params, cell.initial_carry(), jnp.ones(3))
      >>> y.shape
      (4,)
    """

    input_size: int
    hidden_size: int
    activation: Activation = jnp.tanh
    use_bias: bool = True
    input_init: Initializer = initializers.Glorot()
    recurrent_init: Initializer = initializers.Orthogonal()
    bias_init: Initializer = initializers.Constant(0.0)

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size, hidden_size=self.hidden_size)
        checks.check_options(self)
        if not callable(self.activation):
            raise TypeError(
                f"Elman: activation must be a function such as jnp.tanh or jax.nn.relu, got "
                f"{self.activation!r}."
            )

    def init(self, key: jax.Array) -> ElmanParams:
        """Draw W, R and b."""
        input_key, recurrent_key, bias_key = jax.random.split(key, 3)
        hidden = self.hidden_size
        return ElmanParams(
            input_kernel=self.input_init(input_key, (self.input_size, hidden)),
            recurrent_kernel=self.recurrent_init(recurrent_key, (hidden, hidden)),
            bias=self.bias_init(bias_key, (hidden,)) if self.use_bias else None,
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> ElmanCarry:
        """h = 0."""
        return ElmanCarry(h=jnp.zeros((*batch_shape, self.hidden_size)))

    def project(
        self, params: ElmanParams, xs: Float[Array, "*any input"]
    ) -> Float[Array, "*any hidden"]:
        """x W + b."""
        return affine(xs, params.input_kernel, params.bias)

    def step(
        self, params: ElmanParams, carry: ElmanCarry, drive: Float[Array, "*batch hidden"]
    ) -> tuple[ElmanCarry, Float[Array, "*batch hidden"]]:
        """h' = φ(drive + h R)."""
        h = self.activation(drive + affine(carry.h, params.recurrent_kernel))
        return ElmanCarry(h=h), h

    def forward(self, params, carry, drive):
        """`step`, keeping the old h and the slope φ′(a)."""
        a = drive + affine(carry.h, params.recurrent_kernel)
        h, slope = squash(self.activation, a)
        return ElmanCarry(h=h), h, ElmanResidual(h=carry.h, slope=slope)

    def backward(self, params, residual, d_carry, d_y):
        """d_a = (d_h' + d_y) ⊙ φ′(a), and d_h = d_a Rᵀ: `dhraw` and `dhnext` of min-char-rnn."""
        d_a = pull_back(self.activation, residual.slope, d_carry.h + d_y)
        return ElmanCarry(h=affine(d_a, params.recurrent_kernel.T)), d_a

    def drive_cotangent(self, d_drives):
        """As it is."""
        return d_drives

    def gradients(self, params, xs, residuals, d_drives):
        """d_W = Σ xᵀ d_a, d_R = Σ hᵀ d_a, d_b = Σ d_a; and d_x = d_a Wᵀ."""
        d_params = ElmanParams(
            input_kernel=contract(xs, d_drives, params.input_kernel),
            recurrent_kernel=contract(residuals.h, d_drives, params.recurrent_kernel),
            bias=sum_leading(d_drives) if self.use_bias else None,
        )
        return d_params, affine(d_drives, params.input_kernel.T)
