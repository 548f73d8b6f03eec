"""Recurrent dropout: dropping new content, never memory."""

import dataclasses

import jax

from jaxrnn.cell import GatedCell, parameter_dtype, specification
from jaxrnn.wrappers.noise import check_rate, over_time, scaled_mask
from jaxrnn.wrappers.wrapper import Wrapper


@dataclasses.dataclass(frozen=True, repr=False)
class UpdateDropout(Wrapper):
    """A gated cell whose new content is dropped at random, while its memory stays whole.

        LSTM   c' = f ⊙ c + i ⊙ (m ⊙ g)
        GRU    h' = (1 − z) ⊙ (m ⊙ n) + z ⊙ h

    with one mask m / (1 − rate), m ~ Bernoulli(1 − rate), per sequence, or a fresh one per instant.

    Source: Semeniuta, Severyn & Barth (2016), eqs. 9 and 10, arXiv:1603.05118.

    Attributes:
      cell: an `LSTM`, a `GRU`, or another `GatedCell`.
      rate: the probability of dropping a unit.
      per_step: whether the mask is drawn anew at every instant.

    Raises:
      ValueError: if the rate is outside [0, 1].
      TypeError: if the cell has no gates; and under the folds `bptt` and `rebuilt`: the backward
        step of the cell inside does not know the mask. With any other, JAX finds the derivative.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.UpdateDropout(jaxrnn.LSTM(3, 4), rate=0.25)
      >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((10, 2, 3))
      >>> carry, ys = jaxrnn.unroll(cell, params, xs, key=jax.random.key(1))
      >>> ys.shape
      (10, 2, 4)
    """

    cell: GatedCell
    rate: float
    per_step: bool = False

    def __post_init__(self):
        check_rate(self, rate=self.rate)
        if not isinstance(self.cell, GatedCell):
            raise TypeError(
                f"UpdateDropout drops the candidate of a gated cell, as LSTM and GRU have one; "
                f"{self.cell!r} is not a GatedCell."
            )

    @property
    def knows_backward(self):
        """False: the mask stands between the gates of the cell inside."""
        return False

    def extras(self, key, like, carry):
        """Masks of the candidate for all instants; None without a key."""
        if key is None:
            return None
        x = jax.ShapeDtypeStruct(like.shape[1:], like.dtype)
        gates = jax.eval_shape(self._gates_of, specification(self.cell), carry, x)
        shape, dtype = getattr(gates, self.cell.candidate).shape, parameter_dtype(carry)
        if self.per_step:
            return scaled_mask(key, self.rate, (len(like), *shape), dtype)
        return over_time(scaled_mask(key, self.rate, shape, dtype), len(like))

    def _gates_of(self, params, carry, x):
        return self.cell.gates(params, carry, self.cell.project(params, x))

    def step(self, params, carry, drive):
        """The gates of the cell inside, the candidate masked, its update."""
        gates = self.inspect(params, carry, drive)
        return self.cell.update(params, carry, gates)

    def inspect(self, params, carry, drive):
        """The gates, the candidate masked."""
        gates = self.cell.gates(params, carry, drive.x)
        if drive.extra is None:
            return gates
        masked = {self.cell.candidate: drive.extra * getattr(gates, self.cell.candidate)}
        return gates._replace(**masked)
