"""Zoneout: units of the carry that keep their old value."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.wrappers.noise import check_rate
from jaxrnn.wrappers.wrapper import Wrapper


@dataclasses.dataclass(frozen=True, repr=False)
class Zoneout(Wrapper):
    """A cell whose units, at random, keep their old value instead of the new one.

        h' = m_h ⊙ h + (1 − m_h) ⊙ h̃,    c' = m_c ⊙ c + (1 − m_c) ⊙ c̃        with a key
        h' = z_h h + (1 − z_h) h̃,        c' = z_c c + (1 − z_c) c̃            without: expectation

    with fresh masks m ~ Bernoulli(z) at every instant. The output is h'.

    Source: Krueger et al. (2017), eqs. 2 and 3, arXiv:1606.01305 (c 0.5 and h 0.05 there).

    Attributes:
      cell: the cell inside; its carry has a field h, and c if `cell_rate` is not 0.
      hidden_rate: z_h, the probability that a unit of h keeps its value.
      cell_rate: z_c, likewise for c.

    Raises:
      ValueError: if a rate is outside [0, 1], or the carry has no such field.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), hidden_rate=0.05, cell_rate=0.5)
      >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((10, 2, 3))
      >>> carry, ys = jaxrnn.unroll(cell, params, xs, key=jax.random.key(1))
      >>> bool((ys[-1] == carry.h).all())
      True
    """

    cell: Cell
    hidden_rate: float = 0.0
    cell_rate: float = 0.0

    def __post_init__(self):
        check_rate(self, hidden_rate=self.hidden_rate, cell_rate=self.cell_rate)
        fields = carry_fields(self, self.cell)
        if "h" not in fields or (self.cell_rate and "c" not in fields):
            raise ValueError(
                f"Zoneout: the carry of {self.cell!r} has the fields {fields}; zoneout needs h, "
                "and c where cell_rate is not 0."
            )

    def extras(self, key, like, carry):
        """Masks of h and c for all instants; None without a key."""
        if key is None:
            return None
        return {
            name: jax.random.bernoulli(
                unit_key, rate, (like.shape[0], *getattr(carry, name).shape)
            ).astype(getattr(carry, name).dtype)
            for unit_key, (name, rate) in zip(
                jax.random.split(key), self._rates().items(), strict=False
            )
        }

    def after(self, carry, new, extra):
        """Old and new carry, mixed by the masks."""
        for name, keep in self._keeps(extra, carry).items():
            mixed = keep * getattr(carry, name) + (1 - keep) * getattr(new, name)
            new = new._replace(**{name: mixed})
        return new

    def output(self, y, carry, extra):
        """The zoned-out h."""
        del y, extra
        return carry.h

    def _keeps(self, extra, carry):
        if extra is not None:
            return extra
        return {name: jnp.asarray(rate, carry.h.dtype) for name, rate in self._rates().items()}

    def _rates(self):
        return {"h": self.hidden_rate} | ({"c": self.cell_rate} if self.cell_rate else {})


def carry_fields(owner: Any, cell: Cell) -> tuple[str, ...]:
    """The names in the carry of the cell that `owner` wraps; none if it is not a NamedTuple.

    Raises:
      TypeError: if it is not a cell.
    """
    if not isinstance(cell, Cell):
        raise TypeError(
            f"{type(owner).__name__} wraps one cell, such as LSTM(3, 4), and a network's cells one "
            f"by one; got {cell!r}."
        )
    return getattr(type(jax.eval_shape(cell.initial_carry)), "_fields", ())
