"""The works as every JAX library does them: its own layers, and the same few lines around them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jobs import CLIP, LEARNING_RATE, TRAINING_STEPS, Equations, Model, Skip
from weights import Layers, difference, make_data, make_weights, unpack_layers

from contenders import Ready

if jax.default_backend() == "gpu":  # where products are rounded to 10 bits unless asked not to
    jax.config.update("jax_default_matmul_precision", "highest")


class Network(NamedTuple):
    """The layers of one library.

    Attributes:
      write: our weights as the library's parameters. Linear, so that it translates gradients too.
      apply: `(parameters, xs) -> ys`.
      time_axis: where time stands in `xs` and `ys`: where the library likes it best.
      prepare: what is done to the parameters after `write`, and not to gradients.
      place: puts parameters, and sequences [time, batch, ...], where they are computed with.
    """

    write: Callable[[Layers], Any]
    apply: Callable[[Any, jax.Array], jax.Array]
    time_axis: int = 0
    prepare: Callable[[Any], Any] = lambda params: params
    place: Callable[[Any, Any], tuple[Any, Any]] = lambda *trees: on_device(trees)


def on_device(tree: Any) -> Any:
    """NumPy arrays as JAX's, with their dtype."""
    return jax.tree.map(jnp.array, tree)


def build(work: str, model: Model, equations: Equations, network: Network) -> Ready:
    """Forward, backward or training of the network of a library."""
    works = {"forward": forward, "backward": backward, "train": train}
    if work not in works:
        raise Skip("the library brings no loop that samples.")
    return works[work](model, equations, network)


def layers_and_inputs(model: Model, equations: Equations, network: Network) -> tuple[Any, ...]:
    """Parameters, inputs and the probe, on the device and as the network reads them."""
    params = network.prepare(network.write(make_weights(model, equations).layers))
    data = make_data(model)
    xs, probe = (np.moveaxis(x, 0, network.time_axis) for x in (data.xs, data.probe))
    params, (xs, probe) = network.place(params, (xs, probe))
    return params, xs, probe


def forward(model: Model, equations: Equations, network: Network) -> Ready:
    """All outputs."""
    params, xs, _ = layers_and_inputs(model, equations, network)
    function = jax.jit(network.apply)

    def differences(results, reference):
        return {"ys": difference(np.moveaxis(results[-1], network.time_axis, 0), reference["ys"])}

    return Ready(
        lambda: jax.block_until_ready(function(params, xs)),
        differences,
        lambda: function.lower(params, xs).compile(),
    )


def backward(model: Model, equations: Equations, network: Network) -> Ready:
    """All outputs, and the gradients of parameters and inputs."""
    params, xs, probe = layers_and_inputs(model, equations, network)

    @jax.jit
    def function(params, xs, probe):
        ys, pull = jax.vjp(network.apply, params, xs)
        return ys, *pull(probe)

    def differences(results, reference):
        ys, d_params, d_xs = results[-1]
        expected = network.write(unpack_layers(reference, model))
        found = {
            "ys": difference(np.moveaxis(ys, network.time_axis, 0), reference["ys"]),
            "d_xs": difference(np.moveaxis(d_xs, network.time_axis, 0), reference["d_xs"]),
        }
        return found | tree_differences(d_params, expected)

    return Ready(
        lambda: jax.block_until_ready(function(params, xs, probe)),
        differences,
        lambda: function.lower(params, xs, probe).compile(),
    )


def train(model: Model, equations: Equations, network: Network) -> Ready:
    """A training step of a model of characters; the old state is donated."""
    weights = make_weights(model, equations)
    params = weights._replace(layers=network.prepare(network.write(weights.layers)))
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))

    def loss_of(params, tokens, targets):
        xs = params.table[tokens]
        logits = network.apply(params.layers, xs) @ params.kernel + params.bias
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    def step(state, batch):
        params, opt_state = state
        loss, gradient = jax.value_and_grad(loss_of)(params, *batch)
        updates, opt_state = optimizer.update(gradient, opt_state)
        metrics = loss, optax.tree.norm(gradient)
        return (optax.apply_updates(params, updates), opt_state), metrics

    params = on_device(params)
    data = make_data(model)
    batch = (np.moveaxis(x, 0, network.time_axis) for x in (data.tokens, data.targets))
    return training(step, (params, optimizer.init(params)), on_device(tuple(batch)))


def training(step: Callable, state: Any, batch: Any) -> Ready:
    """Run `step(state, batch) -> (state, (loss, norm of the gradient))` over and over."""
    function = jax.jit(step, donate_argnums=0) if not hasattr(step, "lower") else step

    def run():
        nonlocal state
        state, metrics = function(state, batch)
        return jax.block_until_ready((state, metrics))[1]

    return Ready(run, training_differences, lambda: function.lower(state, batch).compile())


def training_differences(results: list[Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Of the losses and gradient norms of the first steps, each of which stands on the last."""
    losses, norms = np.array(results[:TRAINING_STEPS], float).T
    return {
        "losses": difference(losses, reference["losses"]),
        "norms": difference(norms, reference["norms"]),
    }


def tree_differences(actual: Any, expected: Any) -> dict[str, float]:
    """Leaf by leaf, of two trees alike."""
    expected = jax.tree_util.tree_flatten_with_path(expected)[0]
    return {
        jax.tree_util.keystr(path): difference(got, want)
        for got, (path, want) in zip(jax.tree.leaves(actual), expected, strict=True)
    }
