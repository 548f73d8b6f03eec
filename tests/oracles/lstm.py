"""Gers, Schmidhuber & Cummins (2000), Learning to Forget, without peepholes."""

import numpy as np

from oracles.loop import gates, sigmoid


def lstm(params, carry, x):
    """Gate by gate, in the order i, f, g, o."""
    w_i, w_f, w_g, w_o = gates(params.input_kernel, 4)
    r_i, r_f, r_g, r_o = gates(params.recurrent_kernel, 4)
    b_i, b_f, b_g, b_o = gates(params.bias, 4)
    i = sigmoid(x @ w_i + carry.h @ r_i + b_i)
    f = sigmoid(x @ w_f + carry.h @ r_f + b_f)
    g = np.tanh(x @ w_g + carry.h @ r_g + b_g)
    o = sigmoid(x @ w_o + carry.h @ r_o + b_o)
    c = f * carry.c + i * g
    h = o * np.tanh(c)
    return carry._replace(h=h, c=c), h


def projected_lstm(params, carry, x):
    """Sak, Senior & Beaufays (2014): h' = (o ⊙ tanh(c')) P; else the same."""
    carry, m = lstm(params, carry, x)
    h = m @ params.projection_kernel
    return carry._replace(h=h), h
