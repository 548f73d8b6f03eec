"""cuDNN's LSTM, on NVIDIA GPUs."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import zero_from_primal
from jax.experimental import rnn

from jaxrnn.cell import Carry, Cell, Params, cast
from jaxrnn.cells import LSTM, LSTMCarry
from jaxrnn.folds.bptt import bptt
from jaxrnn.folds.pushforward import pushforward
from jaxrnn.folds.scan import scan
from jaxrnn.wrappers import Accompanied, Masked
from jaxrnn.wrappers.masked import select

# Where cuDNN is, and what its LSTM computes in.
PLATFORM = "cuda"
DTYPE = jnp.float32

# How far cuDNN may be from `bptt`, of the largest number of an array: TF32 has 10 bits.
TOLERANCE = 0.02

# Of `jax_default_matmul_precision`, those that cuDNN has: float32, and TF32, XLA's default too.
_PRECISIONS = {
    None: lax.Precision.HIGH,
    "high": lax.Precision.HIGH,
    "tensorfloat32": lax.Precision.HIGH,
    "highest": lax.Precision.HIGHEST,
    "float32": lax.Precision.HIGHEST,
}


def cudnn(
    cell: Cell[Params, Carry], params: Params, carry: Carry, xs: Any
) -> tuple[Carry, jax.Array]:
    """An LSTM by cuDNN, forward and backward, where it applies; elsewhere `bptt`, or else `scan`.

    Not yet run on a GPU: there was none to run it on. What is tested is all that stands around the
    two calls of `jax.experimental.rnn`, with its reference implementation in their place. So before
    `automatic` takes it in a process, it has to give the numbers of `bptt` there (`cudnn_agrees`).

    It applies (`cudnn_applies`) to an `LSTM` whose parameters, carry and inputs are all float32, in
    a process that has an NVIDIA GPU. A program that is then compiled for another device is that of
    `bptt` all the same.

    Padding is no obstacle, and neither are holes. cuDNN takes the length of each row; so valid
    instants are moved together, in their order, and their outputs back to where they belong.
    Nothing is assumed about a mask, and nothing has to be checked.

    All of JAX's transformations work. cuDNN computes what JAX can ask of it, `bptt` the rest:

        values                     cuDNN
        grad, vjp                  cuDNN; also under jit, in a scan, through a checkpoint
        jvp, second derivatives    cuDNN for values and first cotangents, bptt for what moves them
        vmap, shard_map            bptt

    XLA does not split the call over devices; to spread rows over several, use `bptt`.

    Products are taken in TF32 unless `jax_default_matmul_precision` is "highest" (float32), as XLA
    does on such a GPU too; at a setting that cuDNN does not have, the fold does not apply.

    Source: Appleyard, Kočiský & Blunsom (2016), "Optimizing performance of recurrent neural
    networks on GPUs", arXiv:1604.01946.

    Args:
      cell: any `Cell`.
      params: its parameters.
      carry: the carry before the first instant.
      xs: `[time, *batch, input_size]`.

    Returns:
      carry: after the last instant.  ys: `[time, *batch, output_size]`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.LSTM(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((7, 2, 3)), fold=jaxrnn.folds.cudnn)
      >>> ys.shape
      (7, 2, 4)
    """
    if not cudnn_applies(cell, params, carry, xs):
        return (bptt if cell.knows_backward else scan)(cell, params, carry, xs)
    cell, xs, mask = _unwrapped(cell, xs)
    precision = _PRECISIONS[jax.config.jax_default_matmul_precision]
    lstm = functools.partial(_lstm, cell, precision)
    if mask is None:
        return lstm(None, params, carry, xs)[0]
    return _valid_only(lstm, params, carry, xs, mask)


def cudnn_applies(cell: Cell, params: Any, carry: Any, xs: Any) -> bool:
    """Whether the fold `cudnn` uses cuDNN for this cell and these arrays.

    It does for an `LSTM`, with or without a mask, in float32, with at least one row and instant, on
    an NVIDIA GPU, outside of `jax.shard_map` and of a mesh with explicit axes, at a precision that
    cuDNN has.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> cell = jaxrnn.GRU(3, 4)
      >>> params = cell.init(jax.random.key(0))
      >>> cudnn_applies(cell, params, cell.initial_carry((2,)), jnp.ones((7, 2, 3)))
      False
    """
    cell, xs, _ = _unwrapped(cell, xs)
    if type(cell) is not LSTM:  # A subclass may have other equations.
        return False
    leaves = jax.tree.leaves((params, carry, xs))
    mesh = jax.sharding.get_abstract_mesh()
    return (
        all(leaf.dtype == DTYPE and leaf.size for leaf in leaves)
        and jax.config.jax_default_matmul_precision in _PRECISIONS
        and not (mesh.manual_axes or mesh.explicit_axes)
        and bool(_devices(PLATFORM))
    )


def cudnn_agrees() -> bool:
    """Whether `automatic` may take cuDNN in this process: it has one GPU, where the two agree.

    The values and gradients of a small LSTM, with padding, are computed by `cudnn` and by `bptt`,
    once; if they differ, or cuDNN fails, a warning says so. With several GPUs the answer is no,
    since rows that lie on all of them would be gathered for the call.

    Example:
      >>> cudnn_agrees() in (True, False)  # as the machine is
      True
    """
    return len(_devices(PLATFORM)) == 1 and _agrees(jax.config.jax_default_matmul_precision)


@functools.lru_cache
def _agrees(precision):
    del precision  # Of which there may be several in a process.
    try:
        # Computed now, even if what asks for it is being traced.
        with jax.ensure_compile_time_eval(), jax.default_device(_devices(PLATFORM)[0]):
            found, expected = (
                jax.jit(functools.partial(_example, fold))() for fold in (cudnn, bptt)
            )
            differences = jax.tree.map(_difference, found, expected)
        worst = np.max(jax.tree.leaves(differences))
        if worst <= TOLERANCE:
            return True
        problem = f"differs from `bptt` by {worst:.1e}"
    except Exception as error:  # Whatever it is, another fold will do.
        problem = f"fails with {type(error).__name__}: {error}"
    warnings.warn(
        f"cuDNN's LSTM {problem:.200} here, so `automatic` takes `bptt`.",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def _example(fold):
    """Values and gradients of a small LSTM with padding."""
    cell, time = LSTM(3, 4), 5
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (time, 3, 3))
    point = cast((params, cell.initial_carry((3,)), xs), DTYPE)
    mask = jnp.arange(time)[:, None] < jnp.array([[time, 2, 0]])

    def loss(params, carry, xs):
        carry, ys = fold(Masked(cell), params, carry, Accompanied(xs, mask))
        return jnp.sin(3 * ys).sum() + jnp.vdot(carry.h, carry.c), (carry, ys)

    return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*point)


def _difference(found, expected):
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


def _devices(platform):
    try:
        return jax.devices(platform)
    except RuntimeError:  # JAX has no other way to say that there are none.
        return []


def _unwrapped(cell, xs):
    """The cell in a `Masked`, what it reads, and the mask; else as given, without one."""
    if type(cell) is not Masked:
        return cell, xs, None
    return (cell.cell, *xs) if isinstance(xs, Accompanied) else (cell.cell, xs, None)


def _valid_only(lstm, params, carry, xs, mask):
    """The fold of a `Masked` cell: valid instants moved to the front, and their outputs back."""
    order = jnp.argsort(~mask, axis=0, stable=True)
    lengths = mask.sum(axis=0, dtype=jnp.int32)
    xs = jnp.take_along_axis(xs, order[..., None], axis=0)
    # A row without any instant is given one, for nothing: cuDNN's backward pass fails without
    # (https://github.com/jax-ml/jax/issues/17966).
    (last, ys), _ = lstm(jnp.maximum(lengths, 1), params, carry, xs)
    ys = jnp.take_along_axis(ys, jnp.argsort(order, axis=0)[..., None], axis=0)
    return select(lengths > 0, last, carry), select(mask, ys, jnp.zeros_like(ys))


# The fold of an LSTM whose rows are valid up to their lengths (None: to the end), and what cuDNN
# keeps for its backward pass. The precision is settled here, for both of its passes.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _lstm(cell, precision, lengths, params, carry, xs):
    by_cudnn = functools.partial(_forward, cell, precision)

    def by_jax(*arguments):
        kept = jax.eval_shape(by_cudnn, *arguments)[1]
        return _by_bptt(cell, *arguments), jax.tree.map(jnp.zeros_like, kept)

    @custom_vmap
    def fold(*arguments):
        return _where_it_runs(by_cudnn, by_jax, *arguments)

    @fold.def_vmap
    def vmapped(axis_size, batched, *arguments):
        del axis_size
        axes = jax.tree.map(lambda leaf: 0 if leaf else None, batched)
        out = jax.vmap(by_jax, in_axes=axes)(*arguments)
        return out, jax.tree.map(lambda _: True, out)

    return fold(lengths, params, carry, xs)


@_lstm.defjvp
def _tangent(cell, precision, primals, tangents):
    lengths, *point = primals
    out, kept = _lstm(cell, precision, lengths, *point)

    def function(given, *point):
        return _by_bptt(cell, given[0], *point)

    def pullback(given, point, d_out):
        def by_jax(given, point, d_out):
            return jax.vjp(functools.partial(function, given), *point)[1](d_out)

        by_cudnn = functools.partial(_backward, cell, precision)
        return _where_it_runs(by_cudnn, by_jax, given, point, d_out)

    t_out = pushforward(function, pullback, (lengths, kept), tuple(point), tuple(tangents[1:]), out)
    return (out, kept), (t_out, jax.tree.map(zero_from_primal, kept))


def _where_it_runs(by_cudnn, by_jax, *arguments):
    """The one or the other, chosen when the program is compiled for a device."""
    return lax.platform_dependent(*arguments, default=by_jax, **{PLATFORM: by_cudnn})


def _by_bptt(cell, lengths, params, carry, xs):
    """What `_lstm` computes, in JAX."""
    if lengths is None:
        return bptt(cell, params, carry, xs)
    instants = jnp.arange(len(xs)).reshape((len(xs),) + (1,) * lengths.ndim)
    return bptt(Masked(cell), params, carry, Accompanied(xs, instants < lengths[None]))


def _forward(cell, precision, lengths, params, carry, xs):
    """The same by cuDNN, and what `_backward` needs of it."""
    x, h, c, weights = _as_cudnn_reads(cell, params, carry, xs)
    rows, time, _ = x.shape
    lengths = jnp.full(rows, time, jnp.int32) if lengths is None else lengths.reshape(rows)
    (y, h, c), kept = rnn.lstm_fwd(x, h, c, weights, lengths, *_options(cell, precision))
    last = LSTMCarry(h=h.reshape(carry.h.shape), c=c.reshape(carry.c.shape))
    return (last, y.swapaxes(0, 1).reshape(*xs.shape[:-1], cell.hidden_size)), kept


def _backward(cell, precision, given, point, d_out):
    """The cotangents of params, carry and xs, from those of the last carry and of ys."""
    d_last, d_ys = d_out
    d_read = _batch_first(d_ys), _one_layer(d_last.h), _one_layer(d_last.c)
    *d_read, _ = rnn.lstm_bwd(*_options(cell, precision), given[1], d_read)
    return jax.linear_transpose(functools.partial(_as_cudnn_reads, cell), *point)(tuple(d_read))


def _options(cell, precision):
    """Sizes, one layer, no dropout, one direction."""
    return cell.input_size, cell.hidden_size, 1, 0.0, False, precision


def _as_cudnn_reads(cell, params, carry, xs):
    """`x [rows, time, input]`, `h` and `c [1, rows, hidden]`, and all weights in one vector.

    The gates have the same order; kernels are transposed; and there is a second bias, zero here.
    Linear, so that its transpose takes cotangents back.
    """
    bias = jnp.zeros(4 * cell.hidden_size, xs.dtype) if params.bias is None else params.bias
    kernels = params.input_kernel.T.ravel(), params.recurrent_kernel.T.ravel()
    weights = jnp.concatenate([*kernels, bias, jnp.zeros_like(bias)])
    return _batch_first(xs), _one_layer(carry.h), _one_layer(carry.c), weights


def _batch_first(xs):
    return xs.reshape(len(xs), -1, xs.shape[-1]).swapaxes(0, 1)


def _one_layer(state):
    return state.reshape(1, -1, state.shape[-1])
