"""Backpropagation through time by hand."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cell import Carry, Cell, ManualCell, Params
from jaxrnn.folds.segments import even_segments, few_rows, pieces, rows_of, scan_segments, time_of
from jaxrnn.folds.wide_sums import wide_sums

ROWS_AT_ONCE = 512  # of the contractions for the weights: enough for the product to be efficient


def bptt(
    cell: ManualCell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """`scan`, with backpropagation through time spelled out.

        forward   carry_t, y_t, residual_t = cell.forward(params, carry_{t−1}, drive_t)
        backward  d_carry_{t−1}, d_drive_t = cell.backward(params, residual_t, d_carry_t, d_y_t)
        after     d_params, d_xs           = cell.gradients(params, xs, residuals, d_drives)

    A loss at instant t reaches every instant before it, because d_carry (`dhnext` in min-char-rnn)
    is handed from instant to instant. The loop carries nothing else: the weights wait until it is
    over, one contraction each instead of one per instant. Or rather until it has come through a
    segment: some 512 rows fill a matrix product, and what waits takes no more memory than that.

    Forward mode comes with it. `backward` multiplies cotangents by Jᵀ, the transposed Jacobian of
    one instant, and `gradients` by that of all drives. Both are linear; so what tangents are
    multiplied by, J, is their transpose, and needs no formula of its own:

        t_drives             = gradientsᵀ(t_params, t_xs)                 all instants at once
        t_carry_t, t_y_t     = backwardᵀ(t_carry_{t−1}, t_drive_t)        the loop

    JAX is given this rule and transposes it back into the three lines above for `grad`; `jvp`,
    Hessian-vector products, second derivatives and `vmap` work as they do through `scan`.

    What waits for the backward pass is all residuals: of an `LSTM` in float32, with B rows of width
    H over T instants, 28·B·H·T bytes (h, four slopes of gates, two of c and h). `rebuilt` and
    `checkpointed` keep less.

    Source: Werbos (1990), "Backpropagation through time: what it does and how to do it",
    doi:10.1109/5.58337.

    Args:
      cell: a `ManualCell`, one that says its own backward step.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Raises:
      TypeError: if the cell does not say its backward step.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.LSTM(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> def loss(params, fold):
      ...     return jnp.sum(jaxrnn.unroll(cell, params, jnp.ones((7, 3)), fold=fold)[1] ** 2)
      >>> by_jax = jax.grad(loss)(params, jaxrnn.folds.scan)
      >>> by_hand = jax.grad(loss)(params, jaxrnn.folds.bptt)
      >>> bool(jnp.allclose(by_jax.recurrent_kernel, by_hand.recurrent_kernel, atol=1e-5))
      True
    """
    check_by_hand("bptt", cell, carry)
    every = even_segments(time_of(xs), rows_of(carry), ROWS_AT_ONCE)
    return _bptt(cell, every, params, carry, xs)


def check_by_hand(fold: str, cell: Any, carry: Any) -> None:
    """Raise TypeError unless the cell says its backward step, and all its carry has derivatives."""
    if not cell.knows_backward:
        raise TypeError(
            f"`{fold}` needs a ManualCell, one with `forward`, `backward` and `gradients`; "
            f"{cell!r} does not say its backward step. Use the fold `scan`, where JAX finds the "
            "derivative."
        )
    if not is_floating(carry):
        raise TypeError(
            f"`{fold}` hands the derivative of the carry from instant to instant, and that of "
            f"{cell!r} holds what has none, such as integers. Use the fold `scan`."
        )


def is_floating(carry: Any) -> bool:
    """Whether every array of the carry has a derivative: no counter, no flag, no random key."""
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(carry))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _bptt(cell, every, params, carry, xs):
    del every
    return fold_instants(cell, params, carry, xs, cell.step)


@_bptt.defjvp
def _tangent(cell, every, primals, tangents):
    def instant(params, carry, drive):
        carry, y, residual = cell.forward(params, carry, drive)
        return carry, (y, residual)

    return by_hand(cell, every, primals, tangents, instant, lambda params, kept, xs: kept)


def by_hand(
    cell: ManualCell,
    every: int,
    primals: Any,
    tangents: Any,
    instant: Callable[..., tuple[Any, Any]],
    residuals_of: Callable[..., Any],
) -> tuple[Any, Any]:
    """A fold and its tangent: forward in one loop, tangents in segments of `every` instants.

    Args:
      cell: a `ManualCell`.
      every: instants of a segment.
      primals: parameters, the carry before the first instant, and inputs.
      tangents: theirs.
      instant: `(params, carry, drive) -> (carry, (y, kept))`.
      residuals_of: `(params, kept, xs) -> residuals` of the instants of a segment, from what
        `instant` kept of them.

    Returns:
      `(carry, ys)`, and their tangents.
    """
    params, carry, xs = primals
    t_params, t_carry, t_xs = tangents
    t_params, _ = wide_sums(t_params)

    # A checkpoint, so that nothing is kept beside what it is given: not even its reshaped copy.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def segment(t_carry, instants):
        kept, xs, t_xs, ys = instants
        residuals = residuals_of(params, kept, xs)
        return push_tangents(cell, params, xs, residuals, ys, (t_params, t_carry, t_xs))

    # Each piece is whole segments: what its loop has written is cut by reshaping, without a copy.
    written = []
    for piece in pieces(time_of(xs), every):
        own, t_own = jax.tree.map(lambda x, piece=piece: x[piece], (xs, t_xs))
        carry, (ys, kept) = fold_instants(cell, params, carry, own, instant)
        t_carry, t_ys = scan_segments(segment, t_carry, (kept, own, t_own, ys), every)
        written.append((ys, t_ys))
    ys, t_ys = jax.tree.map(lambda *y: jnp.concatenate(y) if y[1:] else y[0], *written)
    return (carry, ys), (t_carry, t_ys)


def fold_instants(
    cell: Cell, params: Any, carry: Any, xs: Any, instant: Callable[..., tuple[Any, Any]]
) -> tuple[Any, Any]:
    """The forward loop, over `instant(params, carry, drive) -> (carry, out)`.

    With few rows `cell.project` is taken of all instants at once: a matrix with one row is read as
    often as it is used. With many it is taken in the loop, where its product is as efficient and
    its result is at hand; the drives of a whole sequence would have to be written and read again.
    """
    if few_rows(carry):
        drives = cell.project(params, xs)
        return lax.scan(functools.partial(instant, params), carry, drives)
    return lax.scan(lambda carry, x: instant(params, carry, cell.project(params, x)), carry, xs)


def push_tangents(
    cell: ManualCell, params: Any, xs: Any, residuals: Any, ys: jax.Array, tangents: Any
) -> tuple[Any, jax.Array]:
    """The tangents of the last carry and of `ys`, by the transposes of the cell's backward step.

    Args:
      cell: a `ManualCell`.
      params: its parameters.
      xs: what it read.
      residuals: what `cell.forward` kept of every instant.
      ys: what it wrote; only their shape is looked at.
      tangents: of `params`, of the carry before the first instant, and of `xs`.
    """
    t_params, t_carry, t_xs = tangents
    if time_of(ys) == 0:  # Nothing happened, and there is no instant to look at.
        return t_carry, ys

    # The weights wait outside the loop: one contraction over all instants instead of T.
    def gradients(d_drives):
        d_params, d_xs = cell.gradients(params, xs, residuals, d_drives)
        return _as_dtype_of(d_params, t_params), _as_dtype_of(d_xs, xs)

    # An example of each cotangent, for the transposes. Only shapes, dtypes and (under `shard_map`)
    # the devices they differ by are looked at; nothing of this is ever computed.
    d_carry, d_y = t_carry, ys[0]
    first = jax.tree.map(lambda r: r[0], residuals)
    d_drive = cell.backward(params, first, d_carry, d_y)[1]
    d_drives = jax.tree.map(lambda d: jnp.broadcast_to(d, (time_of(ys), *d.shape)), d_drive)

    t_params_xs = _matching((t_params, t_xs), gradients(d_drives))
    (t_drives,) = jax.linear_transpose(gradients, d_drives)(t_params_xs)

    def tangent_body(t_carry, instant):
        residual, t_drive = instant
        backward = functools.partial(cell.backward, params, residual)
        return jax.linear_transpose(backward, d_carry, d_y)((t_carry, t_drive))

    return lax.scan(tangent_body, t_carry, (residuals, t_drives))


def _as_dtype_of(cotangents, others):
    """Under mixed precision sums are taken in a wider dtype than what they are cotangents of."""

    def leaf(d, other):
        return None if d is None else d.astype(other.dtype)  # None: flags and noise have none.

    return jax.tree.map(leaf, cotangents, others, is_leaf=lambda d: d is None)


def _matching(tangents, cotangents):
    """Tangents as the transpose of what makes `cotangents` takes them.

    Flags and noise have none. And where a cotangent differs by device and its tangent does not, as
    that of parameters that all devices share does under `shard_map`, adding a zero that does makes
    the tangent differ too; transposed, that sum over devices is the gradient of what they share.
    """

    def leaf(d, tangent):
        return None if d is None else tangent + jnp.zeros_like(d)

    return jax.tree.map(leaf, cotangents, tangents, is_leaf=lambda d: d is None)
