"""Cells whose carries hold more than numbers that are learned through, or that read tokens."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from comparison import assert_close, random_point
from tables import FOLDS, ManualLeaky, pairs

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, rebuilt, scan


@dataclasses.dataclass(frozen=True, repr=False)
class Clocked(jaxrnn.Cell):
    """Counts instants in its carry, which is a dict; its drives are a tuple."""

    input_size: int

    def init(self, key):
        return {"kernel": jax.random.normal(key, (self.input_size, self.input_size))}

    def initial_carry(self, batch_shape=()):
        return {
            "h": jnp.zeros((*batch_shape, self.input_size)),
            "tick": jnp.zeros(batch_shape, jnp.int32),
        }

    def project(self, params, xs):
        return (xs @ params["kernel"], xs)

    def step(self, params, carry, drive):
        odd = jnp.expand_dims(carry["tick"] % 2 == 1, -1)
        h = jnp.tanh(drive[0] + jnp.where(odd, carry["h"] @ params["kernel"], drive[1]))
        return {"h": h, "tick": carry["tick"] + 1}, h


@pytest.mark.parametrize(("cell", "fold"), pairs([Clocked(3)], FOLDS))
def test_a_carry_may_hold_integers(cell, fold):
    params = cell.init(jax.random.key(0))
    xs = random_point(jaxrnn.Elman(3, 3), seed=18, time=6).xs

    def loss(params, xs, fold):
        carry, ys = jaxrnn.unroll(cell, params, xs, fold=fold)
        return (ys**3).sum(), carry["tick"]

    gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True), static_argnums=2)
    by_fold, ticks = gradient(params, xs, fold)
    assert (ticks == 6).all() and ticks.dtype == jnp.int32
    if FOLDS[fold]:
        assert_close(by_fold, gradient(params, xs, scan)[0])


class Ticks(NamedTuple):
    h: Any
    ticks: Any


class Ticking(ManualLeaky):
    """Counts instants, and says its backward step."""

    def initial_carry(self, batch_shape=()):
        return Ticks(super().initial_carry(batch_shape).h, jnp.zeros(batch_shape, int))

    def forward(self, params, carry, drive):
        new, y, residual = super().forward(params, carry, drive)
        return Ticks(new.h, carry.ticks + 1), y, residual

    def backward(self, params, residual, d_carry, d_y):
        received, d_drive = super().backward(params, residual, d_carry, d_y)
        return Ticks(received.h, d_carry.ticks), d_drive


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
