"""What one writes who knows JAX and uses no library: a textbook cell, `lax.scan`, `jax.grad`."""

import jax
import jax.numpy as jnp
import numpy as np
from jobs import CHARACTERS, STREAMS, Equations, Model, Skip
from weights import Direction, Layers, make_weights, spell

from contenders import Ready, jax_works


def equations(model: Model) -> Equations:
    """One bias, and the GRU's second for its candidate."""
    return Equations("n" if model.cell == "GRU" else "none")


def build(work: str, model: Model, hoisted: bool = False) -> Ready:
    """The works; `hoisted` takes `x W + b` of all instants before the loop."""
    if work in STREAMS:
        if hoisted:
            raise Skip("while sampling there is no product to hoist.")
        return sampling(work, model)

    def apply(layers, xs):
        return layers_of(model.cell, layers, xs, hoisted)

    network = jax_works.Network(lambda layers: write(model, layers), apply)
    return jax_works.build(work, model, equations(model), network)


def write(model: Model, layers: Layers) -> list:
    """As they are, without a second bias where there is none."""
    width = model.size.width

    def cell(weights: Direction) -> dict:
        params = {"w": weights.w, "r": weights.r, "b": weights.b}
        return params | ({"b_n": weights.c[2 * width :]} if model.cell == "GRU" else {})

    return [[cell(weights) for weights in layer] for layer in layers]


def lstm(params, carry, drive):
    """One instant."""
    h, c = carry
    i, f, g, o = jnp.split(drive + h @ params["r"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru(params, carry, drive):
    """One instant."""
    (h,) = carry
    x_r, x_z, x_n = jnp.split(drive, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ params["r"], 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + r * (h_n + params["b_n"]))
    h = (1 - z) * n + z * h
    return (h,), h


def elman(params, carry, drive):
    """One instant."""
    h = jnp.tanh(drive + carry[0] @ params["r"])
    return (h,), h


STEPS = {"LSTM": lstm, "GRU": gru, "Elman": elman}


def start(cell: str, params: dict, batch: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Zeros."""
    zeros = jnp.zeros((*batch, params["r"].shape[0]), params["r"].dtype)
    return (zeros, zeros) if cell == "LSTM" else (zeros,)


def layers_of(cell: str, layers: list, xs: jax.Array, hoisted: bool) -> jax.Array:
    """All layers over a sequence."""
    for layer in layers:
        ys = []
        for params, reverse in zip(layer, (False, True), strict=False):

            def drive(x, params=params):
                return x @ params["w"] + params["b"]

            def body(carry, x, params=params, drive=drive):
                return STEPS[cell](params, carry, x if hoisted else drive(x))

            reads = drive(xs) if hoisted else xs
            begin = start(cell, params, xs.shape[1:-1])
            ys.append(jax.lax.scan(body, begin, reads, reverse=reverse)[1])
        xs = ys[0] if len(ys) == 1 else jnp.concatenate(ys, axis=-1)
    return xs


def sampling(work: str, model: Model) -> Ready:
    """One compiled loop that draws, and feeds what it drew to the network."""
    streams = STREAMS[work]
    weights = make_weights(model, equations(model))
    weights = jax_works.on_device(weights._replace(layers=write(model, weights.layers)))

    @jax.jit
    def write_text(weights, key, temperature):
        def instant(state, key):
            carries, token = state
            x, handed_on = weights.table[token], []
            for (params,), carry in zip(weights.layers, carries, strict=True):
                drive = x @ params["w"] + params["b"]
                carry, x = STEPS[model.cell](params, carry, drive)
                handed_on.append(carry)
            logits = x @ weights.kernel + weights.bias
            noise = jax.random.gumbel(key, logits.shape)
            token = jnp.argmax(logits + temperature * noise, axis=-1)
            return (handed_on, token), token

        begin = [start(model.cell, params, (streams,)) for (params,) in weights.layers]
        state = begin, jnp.zeros(streams, int)
        return jax.lax.scan(instant, state, jax.random.split(key, CHARACTERS))[1].T

    key = jax.random.key(0)

    def run(temperature=1.0):
        return spell(np.asarray(write_text(weights, key, temperature)))

    def differences(results, reference):
        expected = spell(reference[work])
        return {"characters": float(run(temperature=0.0) != expected)}

    return Ready(run, differences, lambda: write_text.lower(weights, key, 1.0).compile())
