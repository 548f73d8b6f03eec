"""A matrix product in a narrow dtype, whose transposes are narrow products too."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrnn.differing import differing_as

Axes = tuple[int, ...]  # a number per axis, as the letters of `jnp.einsum`


def is_narrow(dtype: Any) -> bool:
    """Whether sums of products in a dtype want a wider one.

    Example:
      >>> is_narrow(jnp.bfloat16), is_narrow(jnp.float32)
      (True, False)
    """
    return jnp.dtype(dtype).itemsize < 4


def narrow_product(
    a: jax.Array, b: jax.Array, axes: tuple[Axes, Axes, Axes], dtype: Any
) -> jax.Array:
    """`Σ a b` of factors rounded to `dtype`, summed in float32, as are both its transposes.

        y = Σ ⌊a⌋ ⌊b⌋        d_a = Σ ⌊d_y⌋ ⌊b⌋        d_b = Σ ⌊a⌋ ⌊d_y⌋

    JAX's own transpose of a product with a float32 result multiplies the float32 cotangent as it
    is, and so widens the other factor: two of the three products of training would be as slow as
    in float32. And a product whose result is narrow is on a CPU slower than either.

    Source: Micikevicius et al. (2018), arXiv:1710.03740, section 3.3.

    Args:
      a: any floating-point array.
      b: likewise.
      axes: of a, of b and of the result, as `jnp.einsum` takes them; none twice in one array.
      dtype: of the factors.

    Returns:
      A float32 array. Cotangents have the dtypes of a and b.

    Example:
      >>> axes = (0, 1), (1, 2), (0, 2)
      >>> y = narrow_product(jnp.full((2, 3), 1 / 3), jnp.ones((3, 4)), axes, jnp.bfloat16)
      >>> y.shape, y.dtype.name, float(y[0, 0])  # 1/3 has 8 bits
      ((2, 4), 'float32', 1.001953125)
    """
    a, b = differing_as(a, b), differing_as(b, a)
    return _narrow_product_p.bind(a, b, axes=axes, dtype=jnp.dtype(dtype))


_narrow_product_p = Primitive("narrow_product")


def _compute(a, b, *, axes, dtype):
    of_a, of_b, of_out = axes
    a, b = a.astype(dtype), b.astype(dtype)
    return jnp.einsum(a, of_a, b, of_b, of_out, preferred_element_type=jnp.float32)


def _compute_on_cpu(a, b, *, axes, dtype):
    of_a, of_b, of_out = axes
    if {*of_a} & {*of_b} & {*of_out}:  # XLA's CPU compiler makes programs of some that fail.
        a, b = a.astype(dtype).astype(jnp.float32), b.astype(dtype).astype(jnp.float32)
        dtype = jnp.float32
    return _compute(a, b, axes=axes, dtype=dtype)


def _shape(*avals, **how):
    return jax.make_jaxpr(lambda a, b: _compute(a, b, **how))(*avals).out_avals[0]


def _transpose_a(d_out, a, b, *, axes, dtype):
    of_a, of_b, of_out = axes
    return narrow_product(d_out, b, (of_out, of_b, of_a), dtype).astype(a.aval.dtype)


def _transpose_b(d_out, a, b, *, axes, dtype):
    of_a, of_b, of_out = axes
    return narrow_product(a, d_out, (of_a, of_out, of_b), dtype).astype(b.aval.dtype)


def _batch(arrays, batched, *, axes, dtype):
    of_a, of_b, of_out = axes
    new = 1 + max((*of_a, *of_b, *of_out), default=0)
    arrays, factors = list(arrays), [of_a, of_b]
    for k, axis in enumerate(batched):
        if axis is not None:
            arrays[k] = jnp.moveaxis(arrays[k], axis, 0)
            factors[k] = (new, *factors[k])
    return narrow_product(*arrays, (*factors, (new, *of_out)), dtype), 0


_narrow_product_p.def_impl(jax.jit(_narrow_product_p.bind, static_argnames=("axes", "dtype")))
_narrow_product_p.def_abstract_eval(_shape)
ad.defbilinear(_narrow_product_p, _transpose_a, _transpose_b)
batching.primitive_batchers[_narrow_product_p] = _batch
mlir.register_lowering(_narrow_product_p, mlir.lower_fun(_compute, multiple_results=False))
mlir.register_lowering(
    _narrow_product_p, mlir.lower_fun(_compute_on_cpu, multiple_results=False), platform="cpu"
)
