"""Variational dropout of the hidden state."""

import dataclasses

from jaxrnn.cell import Cell
from jaxrnn.wrappers.noise import check_rate, over_time, scaled_mask
from jaxrnn.wrappers.wrapper import Wrapper
from jaxrnn.wrappers.zoneout import carry_fields


@dataclasses.dataclass(frozen=True, repr=False)
class StateDropout(Wrapper):
    """A cell that sees its old hidden state through one mask, the same at every instant.

        h ← m ⊙ h / (1 − rate)    before each instant, m ~ Bernoulli(1 − rate) once per sequence

    Only what enters the next instant is masked; outputs and the carry handed on are whole. For the
    inputs and outputs of a layer there is `VariationalDropout`.

    Source: Gal & Ghahramani (2016), eq. 7, arXiv:1512.05287, with one mask for all gates.

    Attributes:
      cell: the cell inside; its carry has a field h.
      rate: the probability of dropping a unit.

    Raises:
      ValueError: if the rate is outside [0, 1], or the carry has no field h.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.StateDropout(jaxrnn.GRU(3, 4), rate=0.2)
      >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((10, 2, 3))
      >>> carry, ys = jaxrnn.unroll(cell, params, xs, key=jax.random.key(1))
      >>> ys.shape
      (10, 2, 4)
    """

    cell: Cell
    rate: float

    def __post_init__(self):
        check_rate(self, rate=self.rate)
        fields = carry_fields(self, self.cell)
        if "h" not in fields:
            raise ValueError(
                f"StateDropout: the carry of {self.cell!r} has the fields {fields}; it needs h."
            )

    def extras(self, key, like, carry):
        """One mask of h for all instants; None without a key."""
        if key is None:
            return None
        mask = scaled_mask(key, self.rate, carry.h.shape, carry.h.dtype)
        return over_time(mask, like.shape[0])

    def before(self, carry, extra):
        """The masked h; c, where there is one, as it is."""
        return carry if extra is None else carry._replace(h=extra * carry.h)
