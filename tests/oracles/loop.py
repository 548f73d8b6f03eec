"""What the oracles share: σ, one gate's block of a fused matrix, and the loop over time."""

import numpy as np


def sigmoid(z):
    """σ(z) = 1 / (1 + e^−z), in the form that does not overflow."""
    return np.where(z >= 0, 1, np.exp(-np.abs(z))) / (1 + np.exp(-np.abs(z)))


def gates(array, count):
    """`count` equal blocks of the last axis; of a bias that is not there, `count` zeros."""
    return [0.0] * count if array is None else np.split(array, count, axis=-1)


def unroll(step, params, carry, xs):
    """One instant after the other."""
    ys = []
    for x in xs:
        carry, y = step(params, carry, x)
        ys.append(y)
    return carry, np.stack(ys)
