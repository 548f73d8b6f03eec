"""What stands in for cuDNN: JAX's reference implementation, as opaque as cuDNN's calls are."""

import functools
import sys

import jax
import jax.numpy as jnp
from jax.experimental import rnn
from jax.extend.core import Primitive
from jax.interpreters import mlir

from jaxrnn.folds import cudnn
from jaxrnn.folds.cudnn import cudnn_applies

room = sys.modules["jaxrnn.folds.cudnn"]  # The name in `jaxrnn.folds` is the fold's.


def opaque(name, function):
    """`function` as a primitive that JAX can compile and cannot transform, as cuDNN's calls are."""
    primitive = Primitive(name)
    primitive.multiple_results = True

    def flat(*leaves, tree):
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves)))

    @primitive.def_abstract_eval
    def shapes(*avals, tree):
        return jax.make_jaxpr(functools.partial(flat, tree=tree))(*avals).out_avals

    primitive.def_impl(flat)
    mlir.register_lowering(primitive, mlir.lower_fun(flat, multiple_results=True))

    def call(*arguments):
        leaves, tree = jax.tree.flatten(arguments)
        structure = jax.tree.structure(jax.eval_shape(function, *arguments))
        return jax.tree.unflatten(structure, primitive.bind(*leaves, tree=tree))

    return call


class StandIn:
    """`lstm_fwd` and `lstm_bwd` by `lstm_ref`; off by a factor, where a test wants to tell."""

    forward_factor = backward_factor = 1.0

    def __init__(self):
        self.precisions = []

    def reference(self, options, lengths, x, h_0, c_0, weights):
        *sizes, dropout, both, precision = options
        self.precisions.append(precision)
        unpacked = rnn.unpack_lstm_weights(weights, *sizes, both)
        return rnn.lstm_ref(x, h_0, c_0, *unpacked, lengths, *sizes, dropout, both)

    def lstm_fwd(self, x, h_0, c_0, weights, lengths, *options):
        def forward(lengths, *arguments):
            y, *last = self.reference(options, lengths, *arguments)
            return y * self.forward_factor, *last

        out = opaque("forward stand-in", forward)(lengths, x, h_0, c_0, weights)
        return out, (x, h_0, c_0, weights, lengths, out[0], jnp.ones(7))

    def lstm_bwd(self, *arguments):
        *options, kept, cotangents = arguments

        def backward(kept, cotangents):
            *point, lengths, _, reserve = kept
            function = functools.partial(self.reference, options, lengths)
            factor = self.backward_factor * reserve[0]
            return [factor * d for d in jax.vjp(function, *point)[1](tuple(cotangents))]

        return (*opaque("backward stand-in", backward)(kept, cotangents), jnp.zeros_like(kept[4]))


def standing_in(monkeypatch):
    """cuDNN on this machine's CPU, in float64; and as `fold`, a name that nothing is cached for."""
    stand_in = StandIn()
    monkeypatch.setattr(rnn, "lstm_fwd", stand_in.lstm_fwd)
    monkeypatch.setattr(rnn, "lstm_bwd", stand_in.lstm_bwd)
    monkeypatch.setattr(room, "PLATFORM", "cpu")
    monkeypatch.setattr(room, "DTYPE", jnp.float64)

    def fold(cell, params, carry, xs):
        assert cudnn_applies(cell, params, carry, xs)
        return cudnn(cell, params, carry, xs)

    stand_in.fold = fold
    room._agrees.cache_clear()
    with jax.default_device(jax.devices("cpu")[0]):
        yield stand_in
    room._agrees.cache_clear()
