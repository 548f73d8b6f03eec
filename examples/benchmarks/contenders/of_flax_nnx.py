"""flax nnx: `nnx.RNN` over its cells, split into a graph and parameters, as for `jax.jit`."""

from flax import nnx
from jobs import Equations, Model
from weights import Direction, Layers

from contenders import Ready, jax_works

CELLS = {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell, "Elman": nnx.SimpleCell}


def equations(model: Model) -> Equations:
    """One bias; the GRU has none for its candidate beside the recurrent kernel."""
    return Equations()


def build(work: str, model: Model) -> Ready:
    """The works."""
    reads = [model.size.width] + [model.directions * model.size.width] * (model.size.layers - 1)
    layers = [rnn(model, width) for width in reads]
    graphs, states, rests = zip(
        *(nnx.split(layer, nnx.Param, ...) for layer in layers), strict=True
    )

    def apply(params, xs):
        for graph, own, rest in zip(graphs, params, rests, strict=True):
            xs = nnx.merge(graph, own, rest, copy=True)(xs)
        return xs

    def written(weights: Layers) -> tuple:
        pairs = zip(states, write(model, weights), strict=True)
        return tuple(replaced(state, params) for state, params in pairs)

    network = jax_works.Network(written, apply)
    return jax_works.build(work, model, equations(model), network)


def rnn(model: Model, reads: int) -> nnx.Module:
    """One layer."""

    def one() -> nnx.RNN:
        cell = CELLS[model.cell](reads, model.size.width, rngs=nnx.Rngs(0))
        return nnx.RNN(cell, time_major=True)

    return one() if model.directions == 1 else nnx.Bidirectional(one(), one(), time_major=True)


def replaced(state: nnx.State, params: dict) -> nnx.State:
    """The state, with other numbers in it."""
    flat = dict(nnx.to_flat_state(state))
    for path in flat:
        value = params
        for name in path:
            value = value[name]
        flat[path] = flat[path].replace(value)
    return nnx.from_flat_state(flat)


def write(model: Model, layers: Layers) -> list[dict]:
    """Into fused kernels, with the one bias where nnx has it."""

    def cell(weights: Direction) -> dict:
        params = {"dense_i": {"kernel": weights.w}, "dense_h": {"kernel": weights.r}}
        params["dense_h" if model.cell == "LSTM" else "dense_i"]["bias"] = weights.b
        return {"cell": params}

    if model.directions == 1:
        return [cell(weights) for (weights,) in layers]
    return [
        {"forward_rnn": cell(forward), "backward_rnn": cell(backward)}
        for forward, backward in layers
    ]
