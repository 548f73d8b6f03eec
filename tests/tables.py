"""What every promise is tested over: one table of cells, one of folds. A new cell is one line."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
from oracles.loop import sigmoid

import jaxrnn
from jaxrnn.folds import (
    Rebuilt,
    automatic,
    bptt,
    checkpointed,
    hoisted,
    offloaded,
    rebuilt,
    scan,
    truncated,
)


class LeakyCarry(NamedTuple):
    h: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Leaky(jaxrnn.Cell):
    """A cell as a user writes it: three methods, parameters in a dict."""

    input_size: int

    def init(self, key):
        return {"decay": jax.random.uniform(key, (self.input_size,))}

    def initial_carry(self, batch_shape=()):
        return LeakyCarry(h=jnp.zeros((*batch_shape, self.input_size)))

    def step(self, params, carry, drive):
        h = jnp.broadcast_to(params["decay"], drive.shape) * carry.h + jnp.sin(drive)
        return LeakyCarry(h=h), h


@dataclasses.dataclass(frozen=True, repr=False)
class ManualLeaky(Leaky, jaxrnn.ManualCell):
    """The same, with the derivative by hand; the residual and the drives are trees."""

    def project(self, params, xs):
        return {"wave": jnp.sin(xs), "slope": jnp.cos(xs)}

    def step(self, params, carry, drive):
        return self.forward(params, carry, drive)[:2]

    def forward(self, params, carry, drive):
        h = jnp.broadcast_to(params["decay"], carry.h.shape) * carry.h + drive["wave"]
        return LeakyCarry(h=h), h, {"h": carry.h, "slope": drive["slope"]}

    def backward(self, params, residual, d_carry, d_y):
        d_h = d_carry.h + d_y
        decay = jnp.broadcast_to(params["decay"], d_h.shape)
        return LeakyCarry(h=d_h * decay), d_h

    def gradients(self, params, xs, residuals, d_drives):
        leading = tuple(range(xs.ndim - 1))
        d_decay = (d_drives * residuals["h"]).sum(axis=leading)
        return {"decay": d_decay}, d_drives * residuals["slope"]


def leaky(params, carry, x):
    h = params["decay"] * carry.h + np.sin(x)
    return carry._replace(h=h), h


def relu(z):
    return np.where(z > 0, z, 0.0)


def softplus(z):
    return np.logaddexp(z, 0.0)


# Every cell, with the oracle of its step.
CELLS = {
    jaxrnn.Elman(3, 4): oracles.elman(np.tanh),
    jaxrnn.Elman(3, 4, use_bias=False): oracles.elman(np.tanh),
    jaxrnn.Elman(3, 4, activation=jax.nn.relu): oracles.elman(relu),
    jaxrnn.Elman(3, 4, activation=jax.nn.sigmoid): oracles.elman(sigmoid),
    jaxrnn.Elman(3, 4, activation=jax.nn.softplus): oracles.elman(softplus),
    jaxrnn.LSTM(3, 4): oracles.lstm,
    jaxrnn.LSTM(3, 4, use_bias=False): oracles.lstm,
    jaxrnn.ProjectedLSTM(3, 4, 2): oracles.projected_lstm,
    jaxrnn.ProjectedLSTM(3, 4, 2, use_bias=False): oracles.projected_lstm,
    jaxrnn.GRU(3, 4): oracles.gru,
    jaxrnn.GRU(3, 4, use_bias=False): oracles.gru,
    jaxrnn.ResetBeforeGRU(3, 4): oracles.reset_before_gru,
    jaxrnn.ResetBeforeGRU(3, 4, use_bias=False): oracles.reset_before_gru,
    Leaky(3): leaky,
    ManualLeaky(3): leaky,
}

# Every fold, with whether its gradient is that of `scan` (its values always are).
FOLDS = {
    scan: True,
    bptt: True,
    automatic: True,
    hoisted: True,
    rebuilt(3): True,
    checkpointed(3): True,
    checkpointed(4, checkpointed(2)): True,
    offloaded(3): True,
    truncated(64): True,
    truncated(1): False,
    truncated(3): False,
    truncated(3, every=2): False,
    truncated(3, every=3): False,
}

# One cell for each set of equations, where a promise is costly to test.
ONE_OF_EACH = tuple({type(cell): cell for cell in reversed(CELLS)}.values())[::-1]


def label(value):
    """The id of a table entry: a function's repr holds an address, which no two runs share."""
    return getattr(value, "__name__", None) or repr(value)


def takes(fold, cell):
    """Whether a fold takes a cell: two of them ask for a `ManualCell`."""
    return cell.knows_backward or not (fold is bptt or isinstance(fold, Rebuilt))


def pairs(cells, folds):
    """All (cell, fold) that go together, as arguments of `parametrize`."""
    import pytest

    return [
        pytest.param(cell, fold, id=f"{label(cell)}-{label(fold)}")
        for cell in cells
        for fold in folds
        if takes(fold, cell)
    ]
