"""Cho et al. (2014): the reset gate after the matrix product (v1, cuDNN) and before it (v3)."""

import numpy as np

from oracles.loop import gates, sigmoid


def gru(params, carry, x):
    """Gate by gate, in the order r, z, n; r multiplies h Rₙ + bₕ."""
    w_r, w_z, w_n = gates(params.input_kernel, 3)
    r_r, r_z, r_n = gates(params.recurrent_kernel, 3)
    b_r, b_z, b_n = gates(params.bias, 3)
    b_h = 0.0 if params.recurrent_bias is None else params.recurrent_bias
    h = carry.h
    r = sigmoid(x @ w_r + h @ r_r + b_r)
    z = sigmoid(x @ w_z + h @ r_z + b_z)
    n = np.tanh(x @ w_n + b_n + r * (h @ r_n + b_h))
    h = (1 - z) * n + z * h
    return carry._replace(h=h), h


def reset_before_gru(params, carry, x):
    """Gate by gate, in the order r, z, n; r multiplies h."""
    w_r, w_z, w_n = gates(params.input_kernel, 3)
    r_r, r_z, r_n = gates(params.recurrent_kernel, 3)
    b_r, b_z, b_n = gates(params.bias, 3)
    h = carry.h
    r = sigmoid(x @ w_r + h @ r_r + b_r)
    z = sigmoid(x @ w_z + h @ r_z + b_z)
    n = np.tanh(x @ w_n + (r * h) @ r_n + b_n)
    h = (1 - z) * n + z * h
    return carry._replace(h=h), h
