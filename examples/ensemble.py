"""Eight networks trained in one call: `vmap` over seeds.

    python examples/ensemble.py

A training step is a pure function of its state, so `jax.vmap` of it trains an ensemble, each member
exactly as if it were alone. The mean of what the members predict is better than any one of them.
"""

from pathlib import Path

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import show

import jaxrnn
from jaxrnn import text
from jaxrnn.training import (
    adam,
    bits,
    contiguous_windows,
    cross_entropy,
    init_state,
    make_update,
    run_epochs,
)

CHARACTERS, BATCH, WINDOW, HIDDEN = 12_000, 8, 16, 32


def make_loss(network):
    """Mean cross-entropy of the next character; the carry goes on to the next window."""

    def loss_fn(params, carry, batch):
        inputs, targets = batch
        carry, logits = jaxrnn.unroll(network, params, inputs, carry, fold=jaxrnn.folds.bptt)
        return cross_entropy(logits, targets), carry

    return loss_fn


def train(network, keys, windows, epochs: int):
    """One network per key, all in one call: parameters and losses, [members, …]."""
    optimizer = adam(5e-3)
    update = make_update(make_loss(network), optimizer)

    def begin(key):
        params = network.init(key)
        return init_state(params, optimizer, network.start(params, (BATCH,)))

    state, history = run_epochs(
        jax.vmap(update, in_axes=(0, None)), jax.jit(jax.vmap(begin))(keys), windows, epochs
    )
    losses = np.asarray(history.metrics.loss)  # [epochs, windows, members]
    return state.params, losses.reshape(-1, len(keys)).T


def held_out_nats(network, params, tokens):
    """Nats per character of each member, and of the mean of the members' probabilities."""

    def log_probabilities(params):
        _, logits = jaxrnn.unroll(network, params, tokens[:-1])
        log_p = jax.nn.log_softmax(logits)
        return jnp.take_along_axis(log_p, tokens[1:, None], axis=-1)[:, 0]

    of_members = jax.jit(jax.vmap(log_probabilities))(params)
    together = jax.nn.logsumexp(of_members, axis=0) - jnp.log(len(of_members))
    return -np.asarray(of_members.mean(axis=1)), -float(together.mean())


def main(
    epochs: int = 4, members: int = 8, seed: int = 0, picture: Path = Path("ensemble.png")
) -> None:
    """Train an ensemble of small character models on Python source code, in one call.

    Args:
        epochs: Passes over the text.
        members: How many networks.
        seed: Seed from which the members' are drawn.
        picture: Where to draw.
    """
    show.check(picture, epochs=epochs, members=members)
    corpus = text.standard_library_source(CHARACTERS)
    vocabulary = text.CharVocabulary.from_text(corpus.text)
    parts = text.split(vocabulary.encode(corpus.text))
    network = jaxrnn.stack(
        jaxrnn.OneHot(vocabulary.size),
        jaxrnn.GRU(vocabulary.size, HIDDEN),
        jaxrnn.Linear(HIDDEN, vocabulary.size),
    )
    windows = jax.tree.map(jnp.asarray, contiguous_windows(parts.train, BATCH, WINDOW))
    print(f"text: {corpus.description}\nnetwork: {network}\n")

    keys = jax.random.split(jax.random.key(seed), members)
    params, losses = train(network, keys, windows, epochs)
    _, alone = train(network, keys[:1], windows, epochs)
    each, together = held_out_nats(network, params, jnp.asarray(parts.validation))
    show.table(
        (f"on the {parts.name}", "nats per character", "bits"),
        [
            (name, f"{nats:.4f}", f"{bits(nats):.4f}")
            for name, nats in (
                ("worst member", each.max()),
                ("mean of the members' losses", each.mean()),
                ("best member", each.min()),
                ("mean of the members' probabilities", together),
            )
        ],
    )
    difference = np.abs(losses[0] - alone[0]).max()
    print(f"The first member trained alone: its losses differ by {difference:.0e} at most.\n")
    show.picture(picture, (7.2, 3.8), lambda figure: draw(figure, losses, each, together))
    claims = {
        "each member is trained exactly as if it were alone": difference < 1e-3,
        "the mean of what they predict is better than any of them": together < each.min(),
    }
    show.lesson(__doc__, claims)


def draw(figure, losses, each, together):
    """Left the training losses, smoothed; right the held-out losses."""
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    span = min(20, losses.shape[1])
    smooth = np.lib.stride_tricks.sliding_window_view(losses, span, axis=1).mean(axis=-1)
    left.plot(np.arange(span, losses.shape[1] + 1), smooth.T, color=show.SKY, linewidth=0.7)
    left.set(title="Training, every member", xlabel="update", ylabel="nats per character")
    right.scatter(np.linspace(-0.2, 0.2, len(each)), each, color=show.SKY, label="member")
    right.axhline(together, color=show.BLUE, label="ensemble")
    right.set(title="Held-out text", xlim=(-0.6, 0.6), xticks=[])
    right.legend(loc="center right")


if __name__ == "__main__":
    command_line.run(main)
