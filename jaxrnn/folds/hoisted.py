"""JAX's own derivative of any cell, with the weights taken out of the loop."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Var, jaxprs_in_params

from jaxrnn.cell import Carry, Cell, Params
from jaxrnn.folds.scan import scan
from jaxrnn.folds.segments import time_of
from jaxrnn.folds.wide_sums import is_narrow_float


def hoisted(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """`scan`, with a derivative whose loop carries only the carry.

    JAX's derivative of a scan takes the gradient of every weight along from instant to instant, and
    adds to it there. But a loss reaches the weights through the carries alone, so they can wait.
    With `step(params, carry_{t−1}, drive_t)` and its partial derivatives ∂ at that point:

        tap_t            = ∂step/∂params t_params + ∂step/∂drive t_drive_t    all instants at once
        t_carry_t, t_y_t = ∂step/∂carry t_carry_{t−1} + tap_t                 the loop

    JAX is given this tangent and transposes it for `grad`: a reverse loop for the cotangents of all
    carries, then one contraction over all instants for each weight, as in `bptt`. But it needs no
    formula from the cell. `jax.vjp` of a single step gives its pullback ∂stepᵀ: a program, and the
    residuals that it needs, which are kept. What of them is the same at every instant (the weights
    themselves) is taken from the first, not kept T times. A tangent is pushed by the transpose of
    the pullback; and where `grad` transposes that, the pullback itself comes back.

    Where that cannot be, the derivative is that of `scan`: if JAX cannot transpose a pullback, as
    with a `lax.cond` or a `lax.while_loop` in `step`; if `step` has a `jax.custom_vjp`, which need
    not be linear; and if parameters are narrower than float32, in which the sums are to be.

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
    if not _can_be_hoisted(cell, *primals):
        return jax.jvp(functools.partial(scan, cell), primals, tangents)
    out, t_out = _program(cell, primals, _inexact(tangents, like=primals))
    return out, _with_float0(t_out, out)


def _can_be_hoisted(cell, params, carry, xs):
    if time_of(xs) == 0 or jax.config.jax_disable_jit:  # There is no instant, or no program.
        return False
    if any(map(is_narrow_float, jax.tree.leaves(params))):  # Sums are to be in float32.
        return False

    x = jax.tree.map(lambda leaf: leaf[0], xs)

    def step(params, carry, x):
        return cell.step(params, carry, cell.project(params, x))

    def push_and_pull(primals, tangents):
        def push(tangents):
            return _program(cell, primals, tangents)[1]

        return jax.linear_transpose(push, tangents)(push(tangents))

    try:  # Nothing is computed: it is seen whether JAX can transpose a pullback, and that again.
        jax.eval_shape(push_and_pull, (params, carry, xs), _inexact((params, carry, xs)))
    except Exception:  # Whatever it is: `scan` can do it, or tells what is wrong.
        return False
    return not _says_its_pullback(jax.make_jaxpr(step)(params, carry, x).jaxpr)


def _says_its_pullback(program):
    """Whether it has a `jax.custom_vjp`, which need not be linear: it may clip."""
    return any(
        equation.primitive.name.startswith("custom_vjp_call")
        or any(map(_says_its_pullback, jaxprs_in_params(equation.params)))
        for equation in program.eqns
    )


# A program, all of whose numbers are tracers: of those that it knows JAX keeps other residuals.
@functools.partial(jax.jit, static_argnums=0)
def _program(cell, primals, tangents):
    params, carry, xs = primals
    t_params, t_carry, t_xs = _with_float0(tangents, primals)
    drives, t_drives = jax.jvp(cell.project, (params, xs), (t_params, t_xs))
    drive = jax.tree.map(lambda leaf: leaf[0], drives)
    first = _Instant.of(cell, params, carry, drive)

    def body(carry, drive):
        (carry, y), residuals, _ = _pullback(cell, params, carry, drive)
        return carry, (y, first.varying(residuals))

    last, (ys, kept) = lax.scan(body, carry, drives)

    def tap(kept, t_params, t_drive):
        point, tangent = (params, drive), (t_params, t_drive)
        return first.push(kept, lambda d_params, _, d_drive: (d_params, d_drive), point, tangent)

    taps = jax.vmap(tap, in_axes=(0, None, 0))(kept, t_params, t_drives)

    def tangent_body(t_carry, instant):
        kept, tap = instant
        t_out = first.push(kept, lambda d_params, d_carry, _: d_carry, carry, t_carry)
        t_out = jax.tree.map(jnp.add, t_out, tap)
        return _with_float0(t_out, (carry, first.out[1]))

    t_last, t_ys = lax.scan(tangent_body, t_carry, (kept, taps))
    return (last, ys), _inexact((t_last, t_ys), like=(last, ys))


class _Instant(NamedTuple):
    """What `jax.vjp` keeps of one instant of a cell.

    Attributes:
      out: the carry and the output.
      residuals: all that is kept.
      varies: which of them are others at another instant.
      structure: of the pullback, whose leaves they are.
    """

    out: Any
    residuals: list[jax.Array]
    varies: list[bool]
    structure: Any

    @classmethod
    def of(cls, cell, params, carry, drive):
        out, residuals, structure = _pullback(cell, params, carry, drive)
        varies = _varies(lambda *point: _pullback(cell, *point)[1], params, (carry, drive))
        return cls(out, residuals, varies, structure)

    def varying(self, residuals):
        """Those of an instant that are its own."""
        return [own for own, varies in zip(residuals, self.varies, strict=True) if varies]

    def push(self, kept, part, point, tangent):
        """The tangent of the outputs of an instant: the transpose of its pullback, multiplied.

        Args:
          kept: the residuals that are its own.
          part: which of the cotangents (d_params, d_carry, d_drive) the pullback is to give.
          point: what they are the cotangents of.
          tangent: of that; inexact leaves only count.
        """
        kept = iter(kept)
        pairs = zip(self.residuals, self.varies, strict=True)
        own = [next(kept) if varies else shared for shared, varies in pairs]
        pull = self.structure.unflatten(own)

        def pulled(d_out):
            return _inexact(part(*pull(_with_float0(d_out, self.out))), like=point)

        transposed = jax.linear_transpose(pulled, _inexact(self.out))
        return transposed(_inexact(tangent, like=point))[0]


def _pullback(cell, params, carry, drive):
    """One instant, the residuals of its pullback, and how these make the pullback."""
    out, pull = jax.vjp(cell.step, params, carry, drive)
    return out, *jax.tree.flatten(pull)


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
