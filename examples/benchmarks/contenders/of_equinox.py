"""equinox: `lax.scan` over a cell, `jax.vmap` over the batch, as its example of an RNN does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jobs import Equations, Model, Skip
from weights import Direction, Layers

from contenders import Ready, jax_works


def equations(model: Model) -> Equations:
    """One bias, and the GRU's second for its candidate."""
    if model.cell == "Elman":
        raise Skip("equinox has no Elman cell.")
    return Equations("n" if model.cell == "GRU" else "none")


def build(work: str, model: Model) -> Ready:
    """The works."""
    common = equations(model)

    def run(cell, xs, reverse):
        zeros = jnp.zeros(model.size.width, xs.dtype)
        lstm = model.cell == "LSTM"

        def body(carry, x):
            carry = cell(x, carry)
            return carry, carry[0] if lstm else carry

        return jax.lax.scan(body, (zeros, zeros) if lstm else zeros, xs, reverse=reverse)[1]

    def apply(layers, xs):
        for cells in layers:
            ys = [
                # The batch stands on axis 1 and stays there: no transposition at all.
                jax.vmap(lambda xs, c=cell, r=reverse: run(c, xs, r), in_axes=1, out_axes=1)(xs)
                for cell, reverse in zip(cells, (False, True), strict=False)
            ]
            xs = ys[0] if len(ys) == 1 else jnp.concatenate(ys, axis=-1)
        return xs

    network = jax_works.Network(lambda layers: write(model, layers), apply)
    return jax_works.build(work, model, common, network)


def write(model: Model, layers: Layers) -> list[list[eqx.Module]]:
    """Into cells, whose kernels are transposed."""
    width = model.size.width
    kind = eqx.nn.LSTMCell if model.cell == "LSTM" else eqx.nn.GRUCell

    def cell(weights: Direction) -> eqx.Module:
        def of(module):
            second = () if model.cell == "LSTM" else (module.bias_n,)
            return module.weight_ih, module.weight_hh, module.bias, *second

        second = () if model.cell == "LSTM" else (weights.c[2 * width :],)
        module = kind(weights.w.shape[0], width, key=jax.random.key(0))
        transposed = np.ascontiguousarray(weights.w.T), np.ascontiguousarray(weights.r.T)
        return eqx.tree_at(of, module, (*transposed, weights.b, *second))

    return [[cell(weights) for weights in layer] for layer in layers]
