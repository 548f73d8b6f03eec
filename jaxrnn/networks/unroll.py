"""The front door: run a cell or a network over a sequence."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cell import Layer
from jaxrnn.differing import differing_as
from jaxrnn.folds import Rebuilt, automatic, bptt
from jaxrnn.folds.automatic import innermost
from jaxrnn.networks import border
from jaxrnn.networks.context import Context
from jaxrnn.networks.network import Fold, run
from jaxrnn.networks.on_mesh import on_mesh
from jaxrnn.wrappers.masked import select


@on_mesh(lambda rows, got: (rows.of_instant(got[0]), rows.of_sequence(got[1])))
def unroll(
    layer: Layer,
    params: Any,
    xs: Any,
    carry: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    key: jax.Array | None = None,
    fold: Fold = automatic,
    time_axis: int = 0,
) -> tuple[Any, jax.Array]:
    """Run a cell or a network over a whole sequence.

    The call is compiled, once for equal layers and shapes, and may itself stand inside `jax.jit`,
    `jax.vmap` or `jax.grad`.

    Args:
      layer: a cell (`LSTM`, `GRU`, `Elman`, your own) or a network (`stack`, `bidirectional` …).
      params: its parameters, as from `layer.init(key)`.
      xs: `[time, *batch, input_size]`, with no, one or several batch axes, in the dtype of
        `params`; for a network that begins with `Embedding` or `OneHot`, integer ids
        `[time, *batch]`. If their type says that the rows lie on a mesh of devices, each device
        runs its own, and the results lie there too.
      carry: the carry before the first instant; None for `layer.start(params, batch_shape)`.
      lengths: `[*batch]` integers from 0 to the length of `xs`: how much of each row is valid. What
        comes after may hold anything, NaN too: its outputs are zero, its gradients exactly zero,
        the carry stops before it, and a reading from the end begins before it. (Cells run on zeros
        there: one of your own that divides by the norm of its input has to mind that.)
      mask: instead of `lengths`, `[time, *batch]` booleans, True where valid: padding on the left,
        holes, whatever is needed.
      resets: `[time, *batch]` booleans: True where a row begins anew (a new episode or document),
        from `layer.start`, as if the sequence were cut BEFORE that instant; in both directions.
        Flags at instants that are not valid count for nothing.
      key: for the noise of dropout, zoneout and their like; None for none (evaluation).
      fold: how instants are joined and how the derivative is taken: one of `jaxrnn.folds`, or a
        function of that signature. `automatic` is the fastest exact one; `scan` takes JAX's
        derivative, `bptt` the one by hand; `rebuilt(k)`, `checkpointed(k)` and `offloaded(k)` need
        less memory, `truncated(k)` reaches back no farther than k, `spread(mesh)` uses a mesh.
      time_axis: where time stands in `xs`, `mask` and `resets`, and will stand in `ys`.

    Returns:
      carry: after the last valid instant of each row.
      ys: `[time, *batch, output_size]`, time on `time_axis`, in the dtype of `xs`; zero at instants
        that are not valid.

    Raises:
      TypeError: if an argument is not of the kind or dtype that the layer needs.
      ValueError: if a shape, a length, a token id or `time_axis` does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 8), jaxrnn.LSTM(8, 4))
      >>> params = network.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((2, 10, 3)), time_axis=1)
      >>> ys.shape
      (2, 10, 4)
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((10, 2, 3)), lengths=[10, 4])
      >>> bool((ys[4:, 1] == 0).all()), bool((carry.layers[1].h[1] == ys[3, 1]).all())
      (True, True)
      >>> jaxrnn.unroll(network, params, jnp.ones((10, 2, 5)))
      Traceback (most recent call last):
      ValueError: Stack(...): xs has shape (10, 2, 5), so its last axis is 5 wide; expected ...
    """
    done = _enter(layer, params, xs, carry, lengths, mask, resets, key, fold, time_axis)
    return done.carry, jnp.moveaxis(done.ys, 0, done.time_axis)


@on_mesh(lambda rows, got: rows.of_sequence(got))
def unroll_history(
    layer: Layer,
    params: Any,
    xs: Any,
    carry: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    key: jax.Array | None = None,
    fold: Fold = automatic,
    time_axis: int = 0,
) -> tuple[Any, jax.Array]:
    """`unroll`, with the carries and gates of every layer at every instant.

    For attention, pictures and probes. Keeping everything takes memory; `unroll` keeps nothing.

    Args:
      layer: as for `unroll`, and so are the other arguments; `fold` may be any but `bptt` and
        `rebuilt`.
      params: its parameters.
      xs: `[time, *batch, input_size]`.
      carry: the carry before the first instant.
      lengths: how much of each row is valid.
      mask: which instants are.
      resets: where rows begin anew.
      key: for noise.
      fold: how instants are joined.
      time_axis: where time stands.

    Returns:
      history: as the carry of `layer`, but in place of each cell's carry a `Record(carry, gates)`
        with time on `time_axis`: h and c after every instant, and the gates (`LSTMGates`,
        `GRUGates`, or `()` for a cell that has none). Zero at instants that are not valid; in a
        reversed layer it stands at the time of the input, as outputs do.
      ys: as from `unroll`.

    Raises:
      TypeError, ValueError: as `unroll` does.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 8), jaxrnn.GRU(8, 4))
      >>> params = network.init(jax.random.key(0))
      >>> history, ys = jaxrnn.unroll_history(network, params, jnp.ones((10, 2, 3)))
      >>> history.layers[0].carry.c.shape, history.layers[0].gates.f.shape
      ((10, 2, 8), (10, 2, 8))
      >>> bool((history.layers[1].carry.h == ys).all())
      True
    """
    if innermost(fold) is bptt or isinstance(innermost(fold), Rebuilt):
        raise TypeError(
            "unroll_history: `bptt` and `rebuilt` keep what their derivative needs, and have no "
            "carries or gates to give back; use the fold `scan`, whose gradients are the same."
        )
    done = _enter(
        layer, params, xs, carry, lengths, mask, resets, key, fold, time_axis, history=True
    )

    def placed(leaf):  # What all rows share, as a clock, has fewer axes.
        return jnp.moveaxis(leaf, 0, min(done.time_axis, leaf.ndim - 1))

    return jax.tree.map(placed, (done.carry, done.ys))


@on_mesh(lambda rows, got: rows.of_instant(got))
def unroll_last(
    layer: Layer,
    params: Any,
    xs: Any,
    carry: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    key: jax.Array | None = None,
    fold: Fold = automatic,
    time_axis: int = 0,
) -> tuple[Any, jax.Array]:
    """`unroll`, with the last valid output of each row only: for classifying sequences.

    Args:
      layer: as for `unroll`, and so are the other arguments.
      params: its parameters.
      xs: `[time, *batch, input_size]`.
      carry: the carry before the first instant.
      lengths: how much of each row is valid.
      mask: which instants are.
      resets: where rows begin anew.
      key: for noise.
      fold: how instants are joined.
      time_axis: where time stands.

    Returns:
      carry: as from `unroll`.
      y: `[*batch, output_size]`, the output at the last valid instant; zero for a row without one.
        Of a layer that reads from the end, that output has seen one input only: what it made of
        the whole sequence is in the carry.

    Raises:
      TypeError, ValueError: as `unroll` does.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.GRU(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, y = jaxrnn.unroll_last(cell, params, jnp.ones((10, 2, 3)), lengths=[10, 0])
      >>> y.shape, y[1].tolist()
      ((2, 4), [0.0, 0.0, 0.0, 0.0])
    """
    carry, ys, valid, _ = _enter(
        layer, params, xs, carry, lengths, mask, resets, key, fold, time_axis
    )
    length = ys.shape[0]
    if length == 0:
        return carry, jnp.zeros(ys.shape[1:], ys.dtype)
    if valid is None:
        return carry, ys[-1]
    last = length - 1 - jnp.argmax(jnp.flip(valid, axis=0), axis=0)
    # Outputs at instants that are not valid are zero already, and so is that of a row without any.
    return carry, jnp.take_along_axis(ys, last[None, ..., None], axis=0)[0]


class _Done(NamedTuple):
    """What a run gives, time first, and where time stood in `xs`."""

    carry: Any
    ys: jax.Array
    valid: jax.Array | None
    time_axis: int


def _enter(layer, params, xs, carry, lengths, mask, resets, key, fold, time_axis, history=False):
    """Check everything, make the carry and the context, run."""
    border.check_layer(layer)
    border.check_fold(fold)
    border.check_params(layer, params)
    xs = border.as_sequence(xs)
    border.check_rank(layer, xs)
    border.check_time_axis(time_axis, xs)
    time_axis %= xs.ndim  # Outputs, masks and resets may have more or fewer axes than xs.
    xs = jnp.moveaxis(xs, time_axis, 0)
    length, batch = xs.shape[0], border.batch_shape(layer, xs)
    # Where time is the last axis of xs, features stand before it, and flags have no such axis.
    flags_axis = min(time_axis, len(batch))
    valid = _as_mask(lengths, mask, length, batch, flags_axis)
    if valid is not None:
        # What stands in the padding must not reach any sum, not even times zero: it may be NaN.
        xs = select(valid, xs, jnp.zeros_like(xs))
    border.check_sequence(layer, params, xs)
    start = None
    if carry is None or resets is not None:
        # A loop asks for a carry that under `shard_map` differs by device as its inputs do.
        start = jax.tree.map(lambda leaf: differing_as(leaf, xs), layer.start(params, batch))
    if carry is None:
        carry = start
    else:
        border.check_carry(layer, params, carry, batch, length)
    border.check_key(key)
    cuts = None
    if resets is not None:
        cuts = _cuts(border.as_flags("resets", resets, length, batch, flags_axis), valid)
    context = Context(
        mask=valid, cuts=cuts, start=None if cuts is None else start, key=key, history=history
    )
    carry, ys = _run(layer, params, carry, xs, fold, context)
    if valid is not None:  # Layers without a carry, such as Linear, write something for every zero.
        ys = select(valid, ys, jnp.zeros_like(ys))
    return _Done(carry, ys, valid, time_axis)


def _as_mask(lengths, mask, length, batch, flags_axis):
    if lengths is not None and mask is not None:
        raise ValueError("give lengths or mask, not both: a mask says all that lengths say.")
    if mask is not None:
        return border.as_flags("mask", mask, length, batch, flags_axis)
    if lengths is None:
        return None
    lengths = border.as_lengths(lengths, length, batch)
    instants = jnp.arange(length).reshape((length,) + (1,) * len(batch))
    return instants < jnp.expand_dims(lengths, 0)


def _cuts(resets, valid):
    """Where rows are cut, `[time + 1, *batch]`: before every flagged instant that is valid.

    A cut in a hole stands on all of the hole, so that a reading from either side meets it.
    """
    cuts = jnp.concatenate([resets, jnp.zeros((1, *resets.shape[1:]), bool)])
    if valid is None:
        return cuts
    length = len(valid)
    instants = jnp.arange(length + 1).reshape((length + 1,) + (1,) * (valid.ndim - 1))
    valid = jnp.concatenate([valid, jnp.ones((1, *valid.shape[1:]), bool)])  # The end ends holes.
    next_valid = lax.cummin(jnp.where(valid, instants, length), axis=0, reverse=True)
    return jnp.take_along_axis(cuts, next_valid, axis=0)


# Compiled with the layer and the fold as static values: an equal cell is not traced again.
_run = functools.partial(jax.jit, static_argnames=("layer", "fold"))(run)
