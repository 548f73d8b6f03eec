"""What ragged batches are compared with: rows alone, cut to what is valid and at their resets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Point, random_like, random_point
from tables import ONE_OF_EACH, takes

import jaxrnn
from jaxrnn.folds import bptt, scan
from jaxrnn.networks import Bidirectional, Reverse, Stack
from jaxrnn.networks.wrapped import Wrapped

TIME, ROWS = 4, 3

# Dozens of small programs, each run a few times: compiling them well would take most of the time.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# Every way of joining layers, with cells whose carries differ.
NETWORKS = {
    "stack": jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.learned_carry(jaxrnn.GRU(4, 2))),
    "reverse": jaxrnn.reverse(jaxrnn.LSTM(3, 4)),
    "bidirectional": jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 2)),
    "bidirectional_stack": jaxrnn.stack(
        jaxrnn.bidirectional(jaxrnn.GRU(3, 2)),
        jaxrnn.bidirectional(jaxrnn.Elman(4, 2), merge=jaxrnn.add),
        jaxrnn.Linear(2, 3),
    ),
    "learned_carry": jaxrnn.learned_carry(jaxrnn.bidirectional(jaxrnn.ProjectedLSTM(3, 4, 2))),
    "residual": jaxrnn.stack(jaxrnn.Linear(3, 4), jaxrnn.residual(jaxrnn.LSTM(4, 4))),
    "reverse_of_reverse": jaxrnn.reverse(
        jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.reverse(jaxrnn.Elman(4, 2)))
    ),
    "split_bias": jaxrnn.bidirectional(jaxrnn.SplitBias(jaxrnn.GRU(3, 4))),
    "zoneout": jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), hidden_rate=0.2, cell_rate=0.3),
}

LAYERS = {type(cell).__name__: cell for cell in ONE_OF_EACH} | NETWORKS


def folds_of(layer):
    """The folds whose gradient is the whole one and that take the layer."""
    return [
        fold for fold in (scan, bptt) if not isinstance(layer, jaxrnn.Cell) or takes(fold, layer)
    ]


def by_direction(layer, backward, forward):
    """A carry: parts that read from the start as in `forward`, from the end as in `backward`."""
    if isinstance(layer, Stack):
        parts = zip(layer.layers, backward.layers, forward.layers, strict=True)
        return forward._replace(layers=tuple(by_direction(*part) for part in parts))
    if isinstance(layer, Bidirectional):
        return forward._replace(
            forward=by_direction(layer.forward, backward.forward, forward.forward),
            backward=by_direction(layer.backward, forward.backward, backward.backward),
        )
    if isinstance(layer, Reverse):
        return by_direction(layer.layer, forward, backward)
    if isinstance(layer, Wrapped):
        return by_direction(layer.layer, backward, forward)
    return forward


@functools.partial(jax.jit, static_argnames=("layer", "fold"), compiler_options=QUICKLY)
def pull_ragged(layer, point, probe, flags, fold=scan):
    """Values of the whole batch in one call, and the cotangents of params, carry and xs."""

    def values(point):
        return jaxrnn.unroll(layer, point.params, point.xs, point.carry, fold=fold, **flags)

    out, pullback = jax.vjp(values, point)
    return out, pullback(probe)[0]


@functools.partial(jax.jit, static_argnames="layer", compiler_options=QUICKLY)
def _piece(layer, params, given, xs, probe, given_early, given_late, early, late):
    """One piece of one row, with neither mask nor resets: what a user would call it with."""

    def choose(flag, yes, no):
        return jax.tree.map(lambda a, b: jnp.where(flag, a, b), yes, no)

    def values(params, given, xs):
        start = layer.start(params)
        carry = by_direction(
            layer, choose(given_late, given, start), choose(given_early, given, start)
        )
        return jaxrnn.unroll(layer, params, xs, carry, fold=scan)

    out, pullback = jax.vjp(values, params, given, xs)
    d_carry, d_ys = probe
    nothing = jax.tree.map(jnp.zeros_like, d_carry)
    d_carry = by_direction(layer, choose(early, d_carry, nothing), choose(late, d_carry, nothing))
    return out, pullback((d_carry, d_ys))


def pull_alone(layer, point, probe, valid, resets=None):
    """What `pull_ragged` has to give, row by row and piece by piece.

    A row is cut to its valid instants, and again before those that are flagged. Pieces know nothing
    of each other: they begin with the given carry only where nothing was cut off before them.
    """
    resets = np.zeros_like(valid) if resets is None else resets
    d_carry, d_ys = jax.tree.map(np.asarray, probe)
    carry = jax.tree.map(np.array, point.carry)
    ys = np.zeros(d_ys.shape)
    d_params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), point.params)
    d_given = jax.tree.map(lambda leaf: np.zeros(leaf.shape), point.carry)
    d_xs = np.zeros(point.xs.shape)
    for row in range(valid.shape[1]):
        instants = np.flatnonzero(valid[:, row])
        if not len(instants):  # Nothing happens: the carry passes, and so does its cotangent.
            for total, own in zip(jax.tree.leaves(d_given), jax.tree.leaves(d_carry), strict=True):
                total[row] = own[row]
            continue
        begins = [0, *(n for n, t in enumerate(instants) if n and resets[t, row])]
        pieces = np.split(instants, begins[1:])
        starts_anew = bool(resets[instants[0], row])
        given = jax.tree.map(lambda leaf, row=row: leaf[row], point.carry)
        lasts = []
        for number, piece in enumerate(pieces):
            early, late = number == 0, number == len(pieces) - 1
            (last, piece_ys), (d_p, d_g, d_x) = _piece(
                layer,
                point.params,
                given,
                point.xs[piece, row],
                (jax.tree.map(lambda leaf, row=row: leaf[row], d_carry), d_ys[piece, row]),
                early and not starts_anew,
                late,
                early,
                late,
            )
            lasts.append(last)
            ys[piece, row] = piece_ys
            d_xs[piece, row] = d_x
            d_params = jax.tree.map(np.add, d_params, d_p)
            for total, more in zip(jax.tree.leaves(d_given), jax.tree.leaves(d_g), strict=True):
                total[row] += more
        last = by_direction(layer, lasts[0], lasts[-1])
        for leaf, own in zip(jax.tree.leaves(carry), jax.tree.leaves(last), strict=True):
            leaf[row] = own
    return (carry, ys), Point(d_params, d_given, d_xs)


def ragged_point(layer, valid, seed):
    """A random point whose padding is NaN, and a random probe of (carry, ys)."""
    point = random_point(layer, seed, time=valid.shape[0], batch=valid.shape[1:])
    probe = (
        random_like(point.carry, seed + 3),
        random_like(jax.ShapeDtypeStruct((*valid.shape, layer.output_size), float), seed + 4),
    )
    return point._replace(xs=jnp.where(valid[..., None], point.xs, jnp.nan)), probe
