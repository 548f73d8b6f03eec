"""The order of gates, which every library chose for itself."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Blocks = TypeVar("Blocks", jax.Array, np.ndarray)


def reorder(blocks: Blocks, source: str, target: str, axis: int = -1) -> Blocks:
    """Put blocks of gates that lie side by side into another order.

    Args:
      blocks: an array whose `axis` holds one block per gate, all of one width.
      source: the gates as they lie, one letter each: "ifgo" in torch and here, "ifog" in others.
      target: the same letters, in the order wanted.
      axis: the axis that the gates share.

    Returns:
      An array of the same kind, shape and dtype.

    Example:
      >>> reorder(np.array([1, 1, 2, 2, 3, 3]), "rzn", "zrn").tolist()
      [2, 2, 1, 1, 3, 3]
    """
    numpy = np if isinstance(blocks, np.ndarray) else jnp
    parts = dict(zip(source, numpy.split(blocks, len(source), axis=axis), strict=True))
    return numpy.concatenate([parts[gate] for gate in target], axis=axis)
