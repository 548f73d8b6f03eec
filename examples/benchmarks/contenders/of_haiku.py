"""haiku: `hk.dynamic_unroll` over its cores. Two of its three cells are other functions."""

import haiku as hk
import jax.numpy as jnp
import numpy as np
from jobs import Equations, Model
from weights import Direction, Layers

from contenders import Ready, jax_works


def equations(model: Model) -> Equations:
    """The GRU resets before the product, and `VanillaRNN` has relu."""
    if model.cell == "GRU":
        return Equations(reset="before")
    return Equations(activation="relu" if model.cell == "Elman" else "tanh")


def build(work: str, model: Model) -> Ready:
    """The works."""

    def core() -> hk.RNNCore:
        width = model.size.width
        if model.cell == "Elman":
            return hk.VanillaRNN(width, double_bias=False)
        return hk.LSTM(width) if model.cell == "LSTM" else hk.GRU(width)

    def one(xs, reverse):
        cell = core()
        begin = cell.initial_state(xs.shape[1])
        return hk.dynamic_unroll(cell, xs, begin, reverse=reverse)[0]

    directions = [
        hk.without_apply_rng(hk.transform(lambda xs, reverse=reverse: one(xs, reverse)))
        for reverse in (False, True)
    ]

    def apply(layers, xs):
        for layer in layers:
            pairs = zip(directions, layer, strict=False)
            ys = [direction.apply(params, xs) for direction, params in pairs]
            xs = ys[0] if len(ys) == 1 else jnp.concatenate(ys, axis=-1)
        return xs

    network = jax_works.Network(
        lambda layers: write(model, layers),
        apply,
        prepare=lambda params: without_one(model, params),
    )
    return jax_works.build(work, model, equations(model), network)


def write(model: Model, layers: Layers) -> list[list[dict]]:
    """The LSTM's gates are i g f o in one kernel; the GRU's are z r n, and 1 − z of ours its z."""
    width = model.size.width

    def block(array, gate):
        return array[..., gate * width : (gate + 1) * width]

    def cell(weights: Direction) -> dict:
        if model.cell == "Elman":
            return {
                "vanilla_rnn/linear": {"w": weights.w, "b": weights.b},
                "vanilla_rnn/linear_1": {"w": weights.r},
            }

        def ordered(array):
            if model.cell == "LSTM":
                parts = [block(array, gate) for gate in (0, 2, 1, 3)]
            else:  # σ(−a) = 1 − σ(a)
                parts = [-block(array, 1), block(array, 0), block(array, 2)]
            return np.concatenate(parts, axis=-1)

        if model.cell == "LSTM":
            both = np.concatenate([weights.w, weights.r])
            return {"lstm/linear": {"w": ordered(both), "b": ordered(weights.b)}}
        w_i, w_h, b = map(ordered, weights[:3])
        return {"gru": {"w_i": w_i, "w_h": w_h, "b": b}}

    return [[cell(weights) for weights in layer] for layer in layers]


def without_one(model: Model, layers: list[list[dict]]) -> list[list[dict]]:
    """Haiku adds 1 to what goes into the forget gate, whatever the bias."""
    if model.cell == "LSTM":
        width = model.size.width
        for layer in layers:
            for params in layer:
                params["lstm/linear"]["b"][2 * width : 3 * width] -= 1
    return layers
