"""Cells whose carries hold more than numbers that are learned through, or that read tokens."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from comparison import assert_close

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, rebuilt, scan


class Ticks(NamedTuple):
    h: Any
    ticks: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Ticking(jaxrnn.ManualCell):
    """Counts instants, and says its backward step."""

    input_size: int

    def init(self, key):
        return {"decay": jax.random.uniform(key, (self.input_size,))}

    def initial_carry(self, batch_shape=()):
        return Ticks(jnp.zeros((*batch_shape, self.input_size)), jnp.zeros(batch_shape, int))

    def step(self, params, carry, drive):
        return self.forward(params, carry, drive)[:2]

    def forward(self, params, carry, drive):
        h = jnp.broadcast_to(params["decay"], drive.shape) * carry.h + drive
        return Ticks(h, carry.ticks + 1), h, carry.h

    def backward(self, params, residual, d_carry, d_y):
        d_h = d_carry.h + d_y
        return Ticks(jnp.broadcast_to(params["decay"], d_h.shape) * d_h, d_carry.ticks), d_h

    def gradients(self, params, xs, residuals, d_drives):
        leading = tuple(range(xs.ndim - 1))
        return {"decay": (d_drives * residuals).sum(axis=leading)}, d_drives


def test_a_backward_step_by_hand_is_left_where_the_carry_holds_integers():
    cell, xs = Ticking(3), jax.random.normal(jax.random.key(1), (5, 2, 3))
    params = cell.init(jax.random.key(0))
    assert cell.knows_backward

    def loss(params, fold):
        carry, ys = jaxrnn.unroll(cell, params, xs, fold=fold)
        return jnp.sin(ys).sum() + carry.h.sum(), carry.ticks

    expected, ticks = jax.grad(loss, has_aux=True)(params, scan)
    assert (ticks == 5).all()
    for fold in (automatic, checkpointed(2)):
        assert_close(jax.grad(loss, has_aux=True)(params, fold)[0], expected)
    for fold, name in ((bptt, "bptt"), (rebuilt(2), "rebuilt")):
        with pytest.raises(TypeError, match=rf"`{name}` hands .* Ticking.* such as integers"):
            loss(params, fold)


@dataclasses.dataclass(frozen=True, repr=False)
class Noisy(jaxrnn.Cell):
    """Draws its noise from a random key in its carry, one for each row or one for all."""

    input_size: int
    shared: bool

    def init(self, key):
        return {"gain": jax.random.normal(key)}

    def initial_carry(self, batch_shape=()):
        keys = jax.random.key(7)
        if not self.shared:
            keys = jax.vmap(jax.random.key)(jnp.arange(batch_shape[0]))
        return {"h": jnp.zeros((*batch_shape, self.input_size)), "key": keys}

    def step(self, params, carry, drive):
        def draw(key, shape):
            key, own = jax.random.split(key)
            return key, jax.random.normal(own, shape)

        if self.shared:
            key, noise = draw(carry["key"], drive.shape)
        else:
            key, noise = jax.vmap(lambda key: draw(key, drive.shape[1:]))(carry["key"])
        h = params["gain"] * (carry["h"] + drive) + noise
        return {"h": h, "key": key}, h


@pytest.mark.parametrize("marks", [{}, {"lengths": [5, 2]}, {"resets": True}], ids=str)
@pytest.mark.parametrize("shared", [True, False], ids=["one key", "a key per row"])
def test_a_carry_may_hold_random_keys(shared, marks):
    cell, xs = Noisy(3, shared), jax.random.normal(jax.random.key(1), (5, 2, 3))
    params = cell.init(jax.random.key(0))
    if marks.get("resets"):
        marks = {"resets": jnp.zeros((5, 2), bool).at[3, 1].set(True)}
    if shared and marks:
        with pytest.raises(ValueError, match=r"carry `\['key'\]` has shape \(\).*every row"):
            jaxrnn.unroll(cell, params, xs, **marks)
        return

    def loss(params, fold):
        return jnp.square(jaxrnn.unroll(cell, params, xs, fold=fold, **marks)[1]).sum()

    carry = cell.start(params, (2,))
    for t in range(2):
        carry, y = cell(params, carry, xs[t])
    assert_close(jaxrnn.unroll(cell, params, xs, **marks)[1][1], y)
    by_default, by_scan, in_segments = (
        jax.value_and_grad(loss)(params, fold) for fold in (automatic, scan, checkpointed(2))
    )
    assert_close(by_default, by_scan)
    assert_close(in_segments, by_scan)


@dataclasses.dataclass(frozen=True, repr=False)
class Reading(jaxrnn.Cell):
    """Reads tokens, without a layer below."""

    input_size: int

    def init(self, key):
        return {"vectors": jax.random.normal(key, (self.input_size, 4))}

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, 4))

    @property
    def takes_tokens(self):
        return True

    def project(self, params, xs):
        return params["vectors"][xs]

    def step(self, params, carry, drive):
        h = jnp.tanh(carry + drive)
        return h, h


def test_a_cell_may_read_tokens():
    cell, tokens = Reading(7), jnp.array([[0, 6], [3, 2], [5, 5]])
    params = cell.init(jax.random.key(0))
    assert cell.output_size == 4
    carry, ys = jaxrnn.unroll(cell, params, tokens, lengths=[3, 2])
    h, y = cell(params, cell.start(params, (2,)), tokens[0])
    assert_close(ys[0], y)
    assert_close(carry[1], ys[1, 1])
    both = jaxrnn.bidirectional(cell)
    assert jaxrnn.unroll(both, both.init(jax.random.key(0)), tokens)[1].shape == (3, 2, 8)
    with pytest.raises(TypeError, match="x has dtype float64; expected integer token ids"):
        cell(params, h, jnp.zeros(2))
    with pytest.raises(ValueError, match="token ids from 2 to 7; expected 0 to 6"):
        jaxrnn.unroll(cell, params, tokens.at[0, 0].set(7))
