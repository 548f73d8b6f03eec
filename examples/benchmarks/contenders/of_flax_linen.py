"""flax linen: `nn.RNN` over its cells, `nn.Bidirectional` around two."""

from flax import linen as nn
from jobs import Equations, Model
from weights import Direction, Layers

from contenders import Ready, jax_works

CELLS = {"LSTM": nn.OptimizedLSTMCell, "GRU": nn.GRUCell, "Elman": nn.SimpleCell}


def equations(model: Model) -> Equations:
    """One bias, and the GRU's second for its candidate."""
    return Equations("n" if model.cell == "GRU" else "none")


def build(work: str, model: Model) -> Ready:
    """The works."""
    layer = rnn(model)

    def apply(params, xs):
        for own in params:
            xs = layer.apply({"params": own}, xs)
        return xs

    network = jax_works.Network(lambda layers: write(model, layers), apply)
    return jax_works.build(work, model, equations(model), network)


def rnn(model: Model) -> nn.Module:
    """One layer; all are alike, since a module reads its input width off the input."""

    def one() -> nn.RNN:
        return nn.RNN(CELLS[model.cell](model.size.width), time_major=True)

    return one() if model.directions == 1 else nn.Bidirectional(one(), one(), time_major=True)


def write(model: Model, layers: Layers) -> list[dict]:
    """Into kernels per gate, with the one bias where flax has it."""

    def cell(weights: Direction) -> dict:
        if model.cell == "Elman":
            return {"i": {"kernel": weights.w, "bias": weights.b}, "h": {"kernel": weights.r}}
        width, params = model.size.width, {}
        for number, gate in enumerate("ifgo" if model.cell == "LSTM" else "rzn"):
            block = slice(number * width, (number + 1) * width)
            inner = params["i" + gate] = {"kernel": weights.w[:, block]}
            outer = params["h" + gate] = {"kernel": weights.r[:, block]}
            (outer if model.cell == "LSTM" else inner)["bias"] = weights.b[block]
            if gate == "n":
                outer["bias"] = weights.c[block]
        return params

    if model.directions == 1:
        return [{"cell": cell(weights)} for (weights,) in layers]
    return [
        {"forward_rnn": {"cell": cell(forward)}, "backward_rnn": {"cell": cell(backward)}}
        for forward, backward in layers
    ]
