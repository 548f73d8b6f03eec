"""Memory for time: segments that are computed again when their gradient is wanted."""

import dataclasses
import functools
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from jaxrnn import checks
from jaxrnn.cell import Carry, Cell, Fold, Params
from jaxrnn.folds.automatic import automatic
from jaxrnn.folds.segments import root, scan_segments, time_of
from jaxrnn.folds.wide_sums import wide_sums

_BORDER = "jaxrnn.folds.border"  # what the policy of `offloaded` calls the carries it moves


@dataclasses.dataclass(frozen=True, repr=False)
class Checkpointed:
    """The fold that `checkpointed` and `offloaded` make."""

    every: int | None
    fold: Fold
    on_host: bool = False

    def __post_init__(self):
        if self.every is not None:
            checks.check_sizes(self._maker(), every=self.every)
        if not callable(self.fold):
            raise TypeError(
                f"{self._maker()}: fold must be a function such as jaxrnn.folds.bptt, got "
                f"{self.fold!r}."
            )

    def __call__(
        self, cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
    ) -> tuple[Carry, jax.Array]:
        """Fold `cell` over `xs`; see `checkpointed`."""
        wide, narrow = wide_sums(params)

        @functools.partial(jax.checkpoint, policy=self._policy())
        def segment(carry, xs):
            if self.on_host:
                carry = checkpoint_name(carry, _BORDER)
            return self.fold(cell, narrow(wide), carry, xs)

        return scan_segments(segment, carry, xs, self.every or root(time_of(xs)))

    def __repr__(self) -> str:
        inner = getattr(self.fold, "__name__", repr(self.fold))
        return f"{self._maker()}(every={self.every}, fold={inner})"

    def _maker(self):
        return "offloaded" if self.on_host else "checkpointed"

    def _policy(self):
        if not self.on_host:
            return jax.checkpoint_policies.nothing_saveable
        return jax.checkpoint_policies.save_and_offload_only_these_names(
            names_which_can_be_saved=[],
            names_which_can_be_offloaded=[_BORDER],
            offload_src="device",
            offload_dst="pinned_host",
        )


def checkpointed(every: int | None = None, fold: Fold = automatic) -> Checkpointed:
    """A fold that keeps the carry at the borders of segments, and computes segments again.

    In bytes for the backward pass of an `LSTM` in float32, B rows of width H over T instants, where
    `bptt` keeps 7 arrays of B·H per instant, and a carry is 2 of them:

        bptt                  28·B·H·T
        checkpointed(k)       28·B·H·k + 8·B·H·T/k,    least at k = √(2T/7)

    XLA's peak on a CPU, for B, T, H = 8, 1000, 128 in float32, drives and all gradients of the sum
    of squared outputs included: 115 MB with `scan`, 37 with `bptt`, 17 with `rebuilt(50)`, 12 with
    `checkpointed(100)`. Where k does not divide T, the rest is cut off, which takes a copy.

    The default, k = ⌈√T⌉, is near the least. The price is one more forward pass. Every
    transformation that `fold` knows works, forward mode and second derivatives too.

    Source: Chen, Xu, Zhang & Guestrin (2016), "Training deep nets with sublinear memory cost",
    arXiv:1604.06174; for recurrent networks Gruslys et al. (2016), arXiv:1606.03401.

    Args:
      every: instants in a segment; None for ⌈√T⌉.
      fold: how the instants of a segment are joined; itself may be `checkpointed`, for T^⅓.

    Returns:
      A fold, `(cell, params, carry, xs) -> (carry, ys)`.

    Raises:
      TypeError: if `every` is not an integer, or `fold` no function.
      ValueError: if `every` is not positive.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.LSTM(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> def loss(params):
      ...     fold = jaxrnn.folds.checkpointed(every=10)
      ...     return jaxrnn.unroll(cell, params, jnp.ones((100, 3)), fold=fold)[1].sum()
      >>> jax.grad(loss)(params).bias.shape
      (16,)
    """
    return Checkpointed(every, fold)


def offloaded(every: int | None = None, fold: Fold = automatic) -> Checkpointed:
    """`checkpointed`, with the carries at the borders of segments moved to the memory of the host.

    The device then holds one segment at a time, 28·B·H·k bytes for an `LSTM` in float32; the other
    8·B·H·T/k lie in pinned host memory and come back one by one. On a CPU both are the same memory,
    so that nothing was measured but the numbers.

    Args:
      every: instants in a segment; None for ⌈√T⌉.
      fold: how the instants of a segment are joined.

    Returns:
      A fold, `(cell, params, carry, xs) -> (carry, ys)`. JAX (0.10) refuses a gradient of its
      gradient in reverse mode twice; forward mode, over it or alone, works.

    Raises:
      TypeError, ValueError: as `checkpointed` does.

    Example:
      >>> offloaded(every=100).every
      100
    """
    return Checkpointed(every, fold, on_host=True)
