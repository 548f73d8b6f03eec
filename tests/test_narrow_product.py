"""The narrow product and everything JAX makes of it, against the product of rounded factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close

from jaxrnn.linear import affine, contract
from jaxrnn.narrow_product import narrow_product

F32, BF16 = np.float32, jnp.bfloat16
AXES = {
    "matrices": ((0, 1), (1, 2), (0, 2)),
    "two leading axes": ((0, 1, 2), (2, 3), (0, 1, 3)),
    "contraction": ((0, 1, 2), (0, 1, 3), (2, 3)),
    "shared axis": ((0, 1, 2), (0, 2, 3), (0, 1, 3)),
    "vectors": ((0,), (0,), ()),
}
SIZES = (3, 2, 4, 5)
every_form = pytest.mark.parametrize("axes", AXES.values(), ids=AXES)


def arrays(axes, seed=0, dtype=F32):
    """Factors, and a cotangent, all of them numbers that bfloat16 has to round."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=[SIZES[n] for n in each]), dtype) for each in axes]


def exact(a, b, axes):
    """What it shall be: factors rounded by hand, all else in float64."""
    factors = [np.asarray(each.astype(BF16), np.float64) for each in (a, b)]
    return np.einsum(factors[0], axes[0], factors[1], axes[1], axes[2])


def product(axes):
    return lambda a, b: narrow_product(a, b, axes, BF16)


@every_form
@pytest.mark.parametrize("dtypes", [(F32, F32), (F32, BF16), (BF16, BF16)])
def test_values_and_both_transposes(axes, dtypes):
    a, b, d_y = arrays(axes)
    a, b = a.astype(dtypes[0]), b.astype(dtypes[1])
    y, pull = jax.vjp(product(axes), a, b)
    d_a, d_b = pull(d_y)
    assert (y.dtype, d_a.dtype, d_b.dtype) == (F32, *dtypes)
    of_a, of_b, of_y = axes
    assert_close(y, exact(a, b, axes), tolerance=1e-6)
    for found, expected, dtype in (
        (d_a, exact(d_y, b, (of_y, of_b, of_a)), dtypes[0]),
        (d_b, exact(a, d_y, (of_a, of_y, of_b)), dtypes[1]),
    ):
        rounding = 1e-6 if dtype == F32 else 2.0**-8
        assert_close(found.astype(F32), expected, tolerance=rounding)


@every_form
def test_jvp(axes):
    a, b, _ = arrays(axes)
    t_a, t_b, _ = arrays(axes, seed=1)
    _, t_y = jax.jvp(product(axes), (a, b), (t_a, t_b))
    assert_close(t_y, exact(t_a, b, axes) + exact(a, t_b, axes), tolerance=1e-6)


def test_second_derivatives():
    axes = AXES["matrices"]
    a, b, _ = arrays(axes)
    t_a, t_b, _ = arrays(axes, seed=1)

    def loss(a, b):
        return jnp.square(product(axes)(a, b)).sum()

    def plain(a, b):
        return jnp.square(a @ b).sum()

    for over in (
        lambda f: jax.jvp(jax.grad(f, (0, 1)), (a, b), (t_a, t_b))[1],
        lambda f: jax.grad(lambda a, b: jax.jvp(f, (a, b), (t_a, t_b))[1], (0, 1))(a, b),
    ):
        for found, expected in zip(over(loss), over(plain), strict=True):
            assert_close(found, expected, tolerance=0.05)
            assert (found != expected).any()


@every_form
@pytest.mark.parametrize("batched", [(0, None), (None, 1), (1, 0)], ids=str)
def test_vmap(axes, batched):
    rng = np.random.default_rng(0)

    def stacked(each, axis):
        shape = [SIZES[n] for n in each]
        axis = None if axis is None else min(axis, len(shape))
        if axis is not None:
            shape.insert(axis, 6)
        return jnp.asarray(rng.normal(size=shape), F32), axis

    (a, of_a), (b, of_b) = stacked(axes[0], batched[0]), stacked(axes[1], batched[1])
    found = jax.vmap(product(axes), (of_a, of_b))(a, b)
    row = lambda x, axis, k: x if axis is None else jnp.take(x, k, axis)  # noqa: E731
    for k in range(6):
        one = product(axes)(row(a, of_a, k), row(b, of_b, k))
        assert_close(found[k], one, tolerance=1e-6)
    gradient = jax.grad(lambda a, b: jax.vmap(product(axes), (of_a, of_b))(a, b).sum(), (0, 1))
    for found, x in zip(gradient(a, b), (a, b), strict=True):
        assert found.shape == x.shape and found.any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_affine_and_contract_take_it_for_narrow_kernels(dtype):
    x, kernel, _ = arrays(((0, 1, 2), (2, 3), ()))
    kernel = kernel.astype(dtype)
    y = affine(x, kernel)
    wide = np.asarray(x.astype(dtype), F32) @ np.asarray(kernel, F32)
    assert y.dtype == F32
    assert_close(y, wide, tolerance=1e-5)
    assert affine(x.astype(dtype), kernel).dtype == dtype
    d_kernel = contract(x, y, kernel)
    assert (d_kernel.shape, d_kernel.dtype) == (kernel.shape, F32)
    rounded = [np.asarray(each.astype(dtype), F32) for each in (x, y)]
    expected = np.einsum("abi,abo->io", *rounded)
    assert_close(d_kernel, expected, tolerance=1e-5)
