"""What folds keep for the backward pass, counted by XLA, and a sequence of 100,000 instants."""

import jax
import jax.numpy as jnp
import pytest
from comparison import random_point

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, hoisted, rebuilt, scan

ROWS, WIDTH, LENGTH = 4, 32, 400
UNIT = 4 * ROWS * WIDTH  # bytes of one array of one instant, in float32


def peak(fold, length=LENGTH, cell=None):
    """Bytes of temporary memory of a gradient, in units per instant."""
    cell = cell or jaxrnn.LSTM(WIDTH, WIDTH)
    point = random_point(cell, time=length, batch=(ROWS,), dtype="float32")

    def loss(params, xs):
        return jnp.square(jaxrnn.unroll(cell, params, xs, fold=fold)[1]).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(point.params, point.xs).compile()
    return compiled.memory_analysis().temp_size_in_bytes / (UNIT * length)


def test_each_fold_keeps_less_than_the_one_before():
    kept = [peak(fold) for fold in (scan, bptt, rebuilt(20), checkpointed(20))]
    assert kept == sorted(kept, reverse=True), kept
    by_hand, from_carries, by_segment = kept[1:]
    # Of 7 arrays per instant 2 are left; drives and their cotangents become those of a segment.
    assert from_carries < by_hand - 4
    # Outputs and inputs stay, and are not the fold's.
    assert by_segment < 0.45 * by_hand


def test_hoisted_does_not_keep_the_weights_of_every_instant():
    assert peak(hoisted) < 1.3 * peak(scan)


def test_a_hundred_thousand_instants_train_in_bounded_memory():
    length = 100_000
    cell = jaxrnn.LSTM(2, 8)
    xs = jax.random.normal(jax.random.key(1), (length, 1, 2), "float32")
    targets = jnp.cumsum(xs[..., 0], axis=0) > 0

    def loss(params, fold):
        carry, ys = jaxrnn.unroll(cell, params, xs, fold=fold)
        return jnp.mean(jnp.square(ys[..., 0] - targets))

    def peak_of(fold):
        step = jax.jit(jax.value_and_grad(lambda params: loss(params, fold)))
        return step.lower(params).compile()

    params = jax.tree.map(lambda leaf: leaf.astype("float32"), cell.init(jax.random.key(0)))
    step = peak_of(checkpointed())
    losses = []
    for _ in range(3):
        value, gradient = step(params)
        params = jax.tree.map(lambda p, g: p - g / 2, params, gradient)
        losses.append(float(value))
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0], losses
    bytes_of = {
        fold: peak_of(fold).memory_analysis().temp_size_in_bytes
        for fold in (automatic, checkpointed())
    }
    # Residuals of the whole sequence would be 7 · 8 · 4 · 100,000 bytes, 22 MB, beside drives.
    assert bytes_of[checkpointed()] < min(8e6, bytes_of[automatic] / 5), bytes_of


def test_checkpointed_says_what_it_cannot_be_made_of():
    with pytest.raises(ValueError, match="every must be a positive integer, got 0"):
        checkpointed(0)
    with pytest.raises(TypeError, match="fold must be a function"):
        checkpointed(3, fold="bptt")
    with pytest.raises(ValueError, match="every must be a positive integer, got -1"):
        rebuilt(-1)
