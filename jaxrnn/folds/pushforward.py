"""A derivative whose transpose is computed in a way of its own."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def pushforward(
    function: Callable[..., Any],
    pullback: Callable[[Any, Any, Any], Any],
    kept: Any,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    out: Any,
) -> Any:
    """The tangent of a function, of which `grad` takes a pullback that JAX could not find.

        forward mode    t_out     = ∂function/∂primals · t_primals             by JAX
        reverse mode    d_primals = pullback(kept, primals, d_out)             as given

    With `jax.custom_vjp`, which is made for a backward pass from elsewhere, forward mode and second
    derivatives are lost; with `jax.custom_derivatives.linear_call`, second derivatives and `vmap`.
    Inside a `jax.custom_jvp` rule, this keeps them: the derivative of either line, and its `vmap`,
    are those of `function`, which must be a program that JAX can transform as often as it likes.

    Args:
      function: `(kept, *primals) -> out`. Its own derivative is what tangents are pushed by.
      pullback: `(kept, primals, d_out) -> d_primals`, the transpose of that derivative.
      kept: what the two need beside `primals`, or have of them already; a constant, therefore.
      primals: trees of floating-point arrays.
      tangents: likewise.
      out: what the function has given; only its structure is looked at.

    Returns:
      The tangent of `out`.

    Example:
      >>> import jax.numpy as jnp
      >>> @jax.custom_jvp
      ... def cube(x):
      ...     return x**3
      >>> @cube.defjvp
      ... def tangent(primals, tangents):
      ...     def pullback(kept, primals, d_out):
      ...         print("by hand")
      ...         return (3 * primals[0] ** 2 * d_out,)
      ...     out = cube(*primals)
      ...     return out, pushforward(lambda _, x: x**3, pullback, None, primals, tangents, out)
      >>> float(jax.grad(cube)(2.0))
      by hand
      12.0
      >>> float(jax.jvp(cube, (2.0,), (1.0,))[1]), float(jax.jvp(jax.grad(cube), (2.0,), (1.0,))[1])
      by hand
      (12.0, 12.0)
    """
    leaves = _derivative(
        kept, primals, jax.tree.leaves(tangents), function=function, pullback=pullback
    )
    return jax.tree.unflatten(jax.tree.structure(out), leaves)


# The derivative and its transpose are one primitive: a vector goes in, in one direction or the
# other, as a flat list, and another comes out.
_derivative_p = Primitive("pushforward")
_derivative_p.multiple_results = True


def _derivative(kept, primals, vector, *, function, pullback, transposed=False):
    """Bind the primitive; all but the vector come first, since only it is transposed."""
    fixed, tree = jax.tree.flatten((kept, primals))
    return _derivative_p.bind(
        *fixed, *vector, tree=tree, function=function, pullback=pullback, transposed=transposed
    )


def _read(leaves, tree):
    """What was bound: kept, primals, and the vector."""
    kept, primals = jax.tree.unflatten(tree, leaves[: tree.num_leaves])
    return kept, primals, leaves[tree.num_leaves :]


def _by_jax(kept, primals, vector, *, function, transposed):
    """What the primitive computes, as a program that JAX can transform."""
    function = functools.partial(function, kept)
    if not transposed:
        tangents = jax.tree.unflatten(jax.tree.structure(primals), vector)
        return jax.tree.leaves(jax.jvp(function, primals, tangents)[1])
    out, pullback = jax.vjp(function, *primals)
    return jax.tree.leaves(pullback(jax.tree.unflatten(jax.tree.structure(out), vector)))


def _compute(*leaves, tree, function, pullback, transposed):
    kept, primals, vector = _read(leaves, tree)
    if not transposed:
        return _by_jax(kept, primals, vector, function=function, transposed=False)
    out = jax.eval_shape(function, kept, *primals)
    cotangents = jax.tree.unflatten(jax.tree.structure(out), vector)
    return jax.tree.leaves(pullback(kept, primals, cotangents))


def _shapes(*avals, **how):
    return jax.make_jaxpr(functools.partial(_compute, **how))(*avals).out_avals


def _jvp(leaves, tangents, *, tree, pullback, **how):
    out = _derivative_p.bind(*leaves, tree=tree, pullback=pullback, **how)
    kept, primals, vector = _read(leaves, tree)
    given = tree.num_leaves - len(jax.tree.leaves(primals))
    moved, t_vector = tangents[given : tree.num_leaves], tangents[tree.num_leaves :]
    t_vector = [ad.instantiate_zeros(t) for t in t_vector]
    if all(isinstance(t, ad.Zero) for t in moved):  # Linear in the vector.
        fixed = leaves[: tree.num_leaves]
        return out, _derivative_p.bind(*fixed, *t_vector, tree=tree, pullback=pullback, **how)
    moved = [ad.instantiate_zeros(t) for t in moved]
    t_primals = jax.tree.unflatten(jax.tree.structure(primals), moved)
    by_jax = functools.partial(_by_jax, kept, **how)
    return out, jax.jvp(by_jax, (primals, list(vector)), (t_primals, t_vector))[1]


def _transpose(d_out, *leaves, tree, transposed, **how):
    kept, primals, vector = _read(leaves, tree)
    d_out = [ad.instantiate_zeros(d) for d in d_out]
    d_vector = _derivative(kept, primals, d_out, transposed=not transposed, **how)
    return [None] * (len(leaves) - len(vector)) + d_vector


def _batch(leaves, axes, *, tree, pullback, **how):
    del pullback  # It may be what `vmap` cannot be taken of.

    def by_jax(*leaves):
        return _by_jax(*_read(leaves, tree), **how)

    out = jax.vmap(by_jax, in_axes=tuple(axes))(*leaves)
    return out, [0] * len(out)


_derivative_p.def_impl(_compute)
_derivative_p.def_abstract_eval(_shapes)
ad.primitive_jvps[_derivative_p] = _jvp
ad.primitive_transposes[_derivative_p] = _transpose
batching.primitive_batchers[_derivative_p] = _batch
mlir.register_lowering(_derivative_p, mlir.lower_fun(_compute, multiple_results=True))
