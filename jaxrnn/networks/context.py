"""What accompanies a sequence on its way through a network."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """Facts about a sequence that every layer may need, beside the sequence itself.

    Networks hand it on: `inside` for a layer of theirs, `reversed` for one that reads from the end.

    Attributes:
      mask: `[time, *batch]`, True at valid instants; None where all are.
      cuts: `[time + 1, *batch]`, True where a row is cut BEFORE that instant; the last one stands
        after the end, so that the cuts of a reversed sequence are the cuts reversed. None for none.
      start: the carry that a row goes on with after a cut, shaped as the layer's carry.
      key: for layers that draw noise; None for no noise.
      history: whether carries of all instants are wanted in place of the last one.
    """

    mask: jax.Array | None = None
    cuts: jax.Array | None = None
    start: Any = None
    key: jax.Array | None = None
    history: bool = dataclasses.field(default=False, metadata={"static": True})

    def inside(self, name: str, number: int = 0) -> "Context":
        """The context of an inner layer: its part of `start`, and a key of its own.

        Args:
          name: the field of `start` that belongs to the layer.
          number: its place, where that field is a tuple; it also tells keys apart.
        """
        start, key = self.start, self.key
        if start is not None:
            if not hasattr(start, name):
                raise TypeError(
                    f"resets need the start of each inner layer: a network's carry must be a "
                    f"NamedTuple with the field `{name}`, got {type(start).__name__}."
                )
            start = getattr(start, name)
            start = start[number] if name == "layers" else start
        if key is not None:
            key = jax.random.fold_in(key, number)
        return dataclasses.replace(self, start=start, key=key)

    def reversed(self) -> "Context":
        """The context of the sequence read from its end."""
        return dataclasses.replace(
            self,
            mask=None if self.mask is None else jnp.flip(self.mask, axis=0),
            cuts=None if self.cuts is None else jnp.flip(self.cuts, axis=0),
        )


NO_CONTEXT = Context()
