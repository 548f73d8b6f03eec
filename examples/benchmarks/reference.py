"""The numbers that every contender must arrive at: textbook equations in float64, gate by gate.

Written once more, and otherwise than any contender: no fused kernel, no shared code, JAX's own
derivative. `python reference.py MODEL WORKS [EQUATIONS, FILE] …` (JSON) writes NumPy files.
"""

import functools
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
    mask = jnp.asarray(second_bias_mask(model, equations))
    # A second bias is no other function: equations that differ in nothing else compile once.
    equations = equations._replace(second_bias="none")
    found = {}
    if "forward" in works or "backward" in works:
        ys, d_layers, found["d_xs"] = _pulled(model, equations, weights.layers, data, mask)
        found |= {"ys": ys} | pack_layers(d_layers)
    if "train" in works:
        found["losses"], found["norms"] = _trained(model, equations, weights, data, mask)
    for work in STREAMS.keys() & works:
        found[work] = _written(model, equations, weights, STREAMS[work])
    return {name: np.asarray(value) for name, value in found.items()}


def _without_second_bias(d_layers, mask):
    """Gradients, without those of a second bias that a library does not have."""
    return jax.tree.map(
        lambda cell: cell._replace(c=cell.c * mask),
        d_layers,
        is_leaf=lambda node: isinstance(node, Direction),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _pulled(model, equations, layers, data, mask):
    """All outputs and gradients."""
    apply = functools.partial(layers_of, model, equations)
    ys, pull = jax.vjp(apply, layers, data.xs)
    d_layers, d_xs = pull(data.probe)
    return ys, _without_second_bias(d_layers, mask), d_xs


@functools.partial(jax.jit, static_argnums=(0, 1))
def _trained(model, equations, weights, data, mask):
    """The first losses, and the norms of their gradients."""

    def loss_of(weights):
        ys = layers_of(model, equations, weights.layers, weights.table[data.tokens])
        logits = jax.nn.log_softmax(ys @ weights.kernel + weights.bias)
        return -jnp.take_along_axis(logits, data.targets[..., None], axis=-1).mean()

    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))

    def update(state, _):
        weights, opt_state = state
        loss, gradient = jax.value_and_grad(loss_of)(weights)
        gradient = gradient._replace(layers=_without_second_bias(gradient.layers, mask))
        updates, opt_state = optimizer.update(gradient, opt_state)
        state = optax.apply_updates(weights, updates), opt_state
        return state, (loss, optax.tree.norm(gradient))

    start = weights, optimizer.init(weights)
    return jax.lax.scan(update, start, length=TRAINING_STEPS)[1]


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def _written(model, equations, weights, streams):
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
    return jax.lax.scan(instant, (start, jnp.zeros(streams, int)), length=CHARACTERS)[1].T


def main() -> None:
    """A file for each set of equations."""
    (cell, size, directions), works = map(json.loads, sys.argv[1:3])
    model = Model(cell, Size(*size), directions)
    for equations, file in map(json.loads, sys.argv[3:]):
        np.savez(file, **reference(model, Equations(*equations), works))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
