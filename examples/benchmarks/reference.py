"""The numbers that every contender must arrive at: textbook equations in float64, gate by gate.

Written once more, and otherwise than any contender: no fused kernel, no shared code, JAX's own
derivative. `python reference.py MODEL EQUATIONS WORKS FILE` (JSON) writes them to a NumPy file.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jobs import (
    CHARACTERS,
    CLIP,
    LEARNING_RATE,
    STREAMS,
    TRAINING_STEPS,
    Equations,
    Model,
    Size,
)
from weights import Direction, make_data, make_weights, pack_layers, second_bias_mask


def step(cell, equations, weights, carry, x):
    """One instant: (h, c) -> (h, c)."""
    h, c = carry
    gates = weights.b.size // h.shape[-1]
    w, r, b, second = (jnp.split(part, gates, axis=-1) for part in weights)

    def before(k):  # what goes into gate k
        return x @ w[k] + b[k] + h @ r[k] + second[k]

    sigmoid = jax.nn.sigmoid
    if cell == "LSTM":
        c = sigmoid(before(1)) * c + sigmoid(before(0)) * jnp.tanh(before(2))
        return sigmoid(before(3)) * jnp.tanh(c), c
    if cell == "GRU":
        reset, update = sigmoid(before(0)), sigmoid(before(1))
        if equations.reset == "after":
            n = jnp.tanh(x @ w[2] + b[2] + reset * (h @ r[2] + second[2]))
        else:
            n = jnp.tanh(x @ w[2] + b[2] + (reset * h) @ r[2])
        return (1 - update) * n + update * h, c
    return {"tanh": jnp.tanh, "relu": jax.nn.relu}[equations.activation](before(0)), c


def layers_of(model, equations, layers, xs):
    """All layers, both ways where asked; the second reads the sequence backwards."""
    zeros = jnp.zeros((*xs.shape[1:-1], model.size.width), xs.dtype)
    for layer in layers:
        outputs = []
        for weights, reverse in zip(layer, (False, True), strict=False):

            def body(carry, x, weights=weights):
                carry = step(model.cell, equations, weights, carry, x)
                return carry, carry[0]

            outputs.append(jax.lax.scan(body, (zeros, zeros), xs, reverse=reverse)[1])
        xs = jnp.concatenate(outputs, axis=-1)
    return xs


def reference(model: Model, equations: Equations, works) -> dict[str, np.ndarray]:
    """The numbers of all works, by name; JAX must have float64 enabled."""
    weights, data = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float64) if x.dtype == np.float32 else jnp.asarray(x),
        (make_weights(model, equations), make_data(model)),
    )
    found = {}
    if "forward" in works or "backward" in works:
        ys, pull = jax.vjp(
            jax.jit(lambda layers, xs: layers_of(model, equations, layers, xs)),
            weights.layers,
            data.xs,
        )
        d_layers, found["d_xs"] = pull(data.probe)
        found |= {"ys": ys} | pack_layers(_trained(model, equations, d_layers))
    if "train" in works:
        found |= _train(model, equations, weights, data)
    for work in STREAMS.keys() & works:
        found[work] = _write(model, equations, weights, STREAMS[work])
    return {name: np.asarray(value) for name, value in found.items()}


def _trained(model, equations, d_layers):
    """Gradients, without those of a second bias that a library does not have."""
    mask = second_bias_mask(model, equations)
    return jax.tree.map(
        lambda cell: cell._replace(c=cell.c * mask),
        d_layers,
        is_leaf=lambda node: isinstance(node, Direction),
    )


def _train(model, equations, weights, data):
    def loss_of(weights):
        ys = layers_of(model, equations, weights.layers, weights.table[data.tokens])
        logits = jax.nn.log_softmax(ys @ weights.kernel + weights.bias)
        return -jnp.take_along_axis(logits, data.targets[..., None], axis=-1).mean()

    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))
    value_and_gradient = jax.jit(jax.value_and_grad(loss_of))
    state, losses, norms = optimizer.init(weights), [], []
    for _ in range(TRAINING_STEPS):
        loss, gradient = value_and_gradient(weights)
        gradient = gradient._replace(layers=_trained(model, equations, gradient.layers))
        updates, state = optimizer.update(gradient, state)
        weights = optax.apply_updates(weights, updates)
        losses.append(loss)
        norms.append(optax.global_norm(gradient))
    return {"losses": jnp.stack(losses), "norms": jnp.stack(norms)}


def _write(model, equations, weights, streams):
    """The likeliest characters, one after the other, after the first of the alphabet."""

    def instant(state, _):
        carries, token = state
        x, handed_on = weights.table[token], []
        for (cell,), carry in zip(weights.layers, carries, strict=True):
            carry = step(model.cell, equations, cell, carry, x)
            x = carry[0]
            handed_on.append(carry)
        token = jnp.argmax(x @ weights.kernel + weights.bias, axis=-1)
        return (handed_on, token), token

    zeros = jnp.zeros((streams, model.size.width))
    start = [(zeros, zeros)] * model.size.layers
    first = jnp.zeros(streams, int)
    return jax.jit(lambda: jax.lax.scan(instant, (start, first), length=CHARACTERS)[1].T)()


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    (cell, size, directions), equations, works = map(json.loads, sys.argv[1:4])
    model = Model(cell, Size(*size), directions)
    np.savez(sys.argv[4], **reference(model, Equations(*equations), works))
