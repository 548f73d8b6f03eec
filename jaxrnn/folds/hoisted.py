"""JAX's own derivative of any cell, with the weights taken out of the loop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Var

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.scan import scan


def hoisted(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """`scan`, with a derivative whose loop carries only the carry.

    JAX's derivative of a scan takes the gradient of every weight along from instant to instant, and
    adds to it there. But a loss reaches the weights through the carries alone, so they can wait.
    With `step(params, carry_{t−1}, drive_t)` and its partial derivatives ∂ at that point:

        tap_t     = ∂step/∂params t_params + ∂step/∂drive t_drive_t      all instants at once
        t_carry_t = ∂step/∂carry t_carry_{t−1} + tap_t                   the loop

    JAX is given this tangent and transposes it for `grad`: a reverse loop for the cotangents of all
    carries, then one contraction over all instants for each weight, as in `bptt`. But it needs no
    formula from the cell: `jax.vjp` of a single step says what to keep, and what of that is the
    same at every instant (the weights themselves) is not kept T times.

    Args:
      cell: any `Cell`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.Elman(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = hoisted(cell, params, cell.initial_carry(), jnp.ones((7, 3)))
      >>> bool((carry.h == ys[-1]).all())
      True
    """
    return _hoisted(cell, params, carry, xs)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _hoisted(cell, params, carry, xs):
    return scan(cell, params, carry, xs)


@_hoisted.defjvp
def _tangent(cell, primals, tangents):
    params, carry, xs = primals
    t_params, t_carry, t_xs = tangents
    drives, t_drives = jax.jvp(cell.project, (params, xs), (t_params, t_xs))
    if not jax.tree.leaves(drives)[0].shape[0]:  # Nothing happened, and there is nothing to see.
        return jax.jvp(functools.partial(scan, cell), primals, tangents)

    def pullback(params, carry, drive):
        out, pull = jax.vjp(cell.step, params, carry, drive)
        return out, jax.tree.flatten(pull)

    # Outside the loop, at the first instant: what is the same at every other.
    drive = jax.tree.map(lambda leaf: leaf[0], drives)
    (_, example_y), (fixed, structure) = pullback(params, carry, drive)
    varies = _varies(lambda *point: pullback(*point)[1][0], params, (carry, drive))

    def body(carry, drive):
        (carry, y), (residuals, _) = pullback(params, carry, drive)
        return carry, (y, [r for r, varying in zip(residuals, varies, strict=True) if varying])

    last, (ys, kept) = lax.scan(body, carry, drives)

    def pushforward(kept, wanted):
        """`wanted` of the cotangents (d_params, d_carry, d_drive), transposed."""
        kept = iter(kept)
        residuals = [next(kept) if v else r for r, v in zip(fixed, varies, strict=True)]
        pull = jax.tree.unflatten(structure, residuals)

        def pulled(d_out):
            return wanted(*pull(_with_float0(d_out, (carry, example_y))))

        return jax.linear_transpose(pulled, _inexact((carry, example_y)))

    def tap(kept, t_params, t_drive):
        def wanted(d_params, d_carry, d_drive):
            return _inexact((d_params, d_drive), like=(params, drive))

        return pushforward(kept, wanted)(_inexact((t_params, t_drive), like=(params, drive)))[0]

    taps = jax.vmap(tap, in_axes=(0, None, 0))(kept, t_params, t_drives)

    carried = len(_inexact(carry))

    def tangent_body(t_carry, instant):
        kept, tap = instant

        def wanted(d_params, d_carry, d_drive):
            return _inexact(d_carry, like=carry)

        (t_out,) = pushforward(kept, wanted)(t_carry)
        t_out = jax.tree.map(jnp.add, t_out, tap)
        return t_out[:carried], t_out[carried:]

    t_last, t_ys = lax.scan(tangent_body, _inexact(t_carry, like=carry), (kept, taps))
    return (last, ys), (_with_float0(t_last, last), _with_float0(t_ys, ys))


def _varies(residuals, params, instant):
    """Which of `residuals(params, *instant)` depend on the instant, read off its program."""
    program = jax.make_jaxpr(residuals)(params, *instant).jaxpr
    varying = set(program.invars[len(jax.tree.leaves(params)) :])

    def depends(values):
        return any(isinstance(value, Var) and value in varying for value in values)

    for equation in program.eqns:
        if depends(equation.invars):
            varying.update(equation.outvars)
    return [depends([value]) for value in program.outvars]


def _is_inexact(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _inexact(tree, like=None):
    """The leaves that have a derivative, in a list: integers and flags have none."""
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(tree if like is None else like), strict=True)
    return [leaf for leaf, primal in pairs if _is_inexact(primal)]


def _with_float0(leaves, like):
    """The tree of tangents or cotangents whose inexact leaves these are."""
    leaves = iter(leaves)

    def leaf(primal):
        if _is_inexact(primal):
            return next(leaves)
        return np.zeros(jnp.shape(primal), jax.dtypes.float0)

    return jax.tree.map(leaf, like)
