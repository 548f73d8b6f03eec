"""What the tests compare with: random points, and values and gradients side by side."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

# Both sides are float64 and add up the same few numbers in another order.
ROUNDING = 1e-12


class Point(NamedTuple):
    """Where a layer is evaluated."""

    params: Any
    carry: Any
    xs: Any


def random_like(tree, seed, scale=1.0, dtype=np.float64):
    """Normal numbers in place of every leaf: zeros and ones would hide errors."""
    rng = np.random.default_rng(seed)

    def leaf(spec):
        return jnp.asarray(scale * rng.standard_normal(spec.shape), dtype)

    return jax.tree.map(leaf, tree)


def random_point(layer, seed=0, *, time=5, batch=(2,), dtype=np.float64):
    """Random parameters, carry and inputs."""
    params = jax.eval_shape(layer.init, jax.random.key(0))
    carry = jax.eval_shape(lambda: layer.initial_carry(batch))
    if layer.takes_tokens:
        rng = np.random.default_rng(seed)
        xs = jnp.asarray(rng.integers(layer.input_size, size=(time, *batch)))
    else:
        xs = random_like(jax.ShapeDtypeStruct((time, *batch, layer.input_size), dtype), seed)
        xs = xs.astype(dtype)
    return Point(
        params=random_like(params, seed + 1, 0.5, dtype),
        carry=random_like(carry, seed + 2, 1.0, dtype),
        xs=xs,
    )


@functools.partial(jax.jit, static_argnames=("layer", "fold"))
def run(layer, point, fold=jaxrnn.folds.scan):
    """`unroll`, compiled once per layer, fold and shapes for the whole suite."""
    return jaxrnn.unroll(layer, point.params, point.xs, point.carry, fold=fold)


@functools.partial(jax.jit, static_argnames=("layer", "fold"))
def pull(layer, point, probe, fold=jaxrnn.folds.scan):
    """Values, and the cotangents of params, carry and xs under a probe of (carry, ys)."""

    def values(point):
        return jaxrnn.unroll(layer, point.params, point.xs, point.carry, fold=fold)

    out, pullback = jax.vjp(values, point)
    return out, pullback(probe)[0]


def random_probe(layer, point, seed=7, fold=jaxrnn.folds.scan):
    """A random cotangent of everything that `unroll` gives back, the last carry included."""
    out = jax.eval_shape(functools.partial(run, layer, fold=fold), point)
    return jax.tree.map(lambda spec, number: number.astype(spec.dtype), out, random_like(out, seed))


def assert_close(actual, expected, tolerance=ROUNDING):
    """Raise unless two trees are alike, leaf by leaf, relative to the largest number of a leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    leaves = jax.tree_util.tree_flatten_with_path(expected)[0]
    for (path, want), got in zip(leaves, jax.tree.leaves(actual), strict=True):
        name = jax.tree_util.keystr(path)
        got, want = np.asarray(got), np.asarray(want)
        assert got.shape == want.shape, f"{name}: shape {got.shape} is not {want.shape}"
        if want.dtype == jax.dtypes.float0 or not want.size:
            continue
        assert np.isfinite(want).all() and np.isfinite(got).all(), f"{name} is not finite"
        difference = np.abs(got - want).max()
        scale = max(np.abs(want).max(), np.abs(got).max())
        assert difference <= tolerance * scale, (
            f"{name} differs by {difference:.2e}, relative {difference / scale:.2e}"
        )


def assert_same_values_and_gradients(
    layer, point, fold, reference=jaxrnn.folds.scan, seed=7, reference_layer=None
):
    """The fold contract: values, last carry, and gradients of params, carry and xs."""
    probe = random_probe(layer, point, seed)
    values, gradients = pull(layer, point, probe, fold=fold)
    expected_values, expected_gradients = pull(
        reference_layer or layer, point, probe, fold=reference
    )
    assert_close(values, expected_values)
    assert_close(gradients, expected_gradients)


def leaves_differ(tree):
    """Whether no two leaves share a buffer."""
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree) if leaf.size]
    return len(pointers) == len(set(pointers))


def state_loss(cell, fold, mask=None):
    """A loss of a point of an LSTM, in which every output and the last carry have a hand."""

    def loss(point):
        params, carry, xs = point
        carry, ys = jaxrnn.unroll(cell, params, xs, carry, mask=mask, fold=fold)
        return jnp.mean(jnp.sin(ys)) + jnp.mean(carry.h**3) + jnp.mean(carry.c**2)

    return loss
