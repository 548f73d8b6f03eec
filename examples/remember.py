"""Fourth notebook: a three-layer LSTM, one sentence, one batch of five windows.

    python examples/remember.py

Three LSTM layers learn the first notebook's sentence with a mean squared error, and reproduce it
with the true characters as input, as in the notebook, and also left alone with what they wrote,
which the notebook did not try. Its batched variant is one call of `sliding_windows`: five streams,
each one character ahead of the last, every carry handed on.
"""

from pathlib import Path

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.initializers import TorchUniform
from jaxrnn.text import CharVocabulary, generate
from jaxrnn.training import (
    init_state,
    make_update,
    mean_squared_error,
    run_epochs,
    sliding_windows,
    two_biases,
)

SENTENCE = "hello pytorch. how long can a rnn cell remember? show me your limit!"
BEGIN, END = "0", "1"
VOCABULARY = CharVocabulary("abcdefghijklmnopqrstuvwxyz ?!.,:;" + BEGIN + END)
TOKENS = VOCABULARY.encode(BEGIN + SENTENCE + END)
HIDDEN = 35
ONE_HOT = jaxrnn.OneHot(VOCABULARY.size)

# What the notebook printed: the summed loss at every tenth epoch, as far as its output goes.
LOSSES = {0: 2.1684, 10: 1.8090, 50: 0.8998, 100: 0.0453, 150: 0.0130, 200: 0.0078, 250: 0.0062}
BATCH_LOSSES = {0: 2.3259, 10: 1.7039, 50: 0.9638, 100: 0.0698, 150: 0.0238, 200: 0.0146}
BATCH_LOSSES[250] = 0.0107


def lstm(inputs: int, hidden: int) -> jaxrnn.LSTM:
    """An LSTM layer that begins as `torch.nn.LSTM` does."""
    uniform = TorchUniform()
    return jaxrnn.LSTM(
        inputs,
        hidden,
        forget_bias=0.0,
        input_init=uniform,
        recurrent_init=uniform,
        bias_init=uniform,
    )


NETWORK = jaxrnn.stack(ONE_HOT, *(lstm(VOCABULARY.size, HIDDEN) for _ in range(3)))


def loss_fn(params, carry, batch):
    """The notebook's loss: a mean over characters and windows, but a SUM over the instants."""
    inputs, targets = batch
    _, ys = jaxrnn.unroll(NETWORK, params, inputs)
    return len(inputs) * mean_squared_error(ys, ONE_HOT.map((), targets)), carry


def sentence():
    """The notebook's first data: the whole sentence, [69] and [69]."""
    return TOKENS[:-1], TOKENS[1:]


def windows():
    """Its second: five windows of 65 characters, each beginning one character later, [65, 5]."""
    inputs, targets = sliding_windows(TOKENS, length=len(TOKENS) - 5)
    return inputs, targets


def train(params, batch, epochs: int):
    """Adam 0.01, as in the notebook: the trained parameters, and the loss of each epoch."""
    optimizer = optax.chain(optax.adam(0.01), two_biases())
    state, history = run_epochs(
        make_update(loss_fn, optimizer),
        init_state(params, optimizer),
        batches=jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch),
        epochs=epochs,
    )
    return state.params, np.asarray(history.metrics.loss[:, 0])


def read_back(params, inputs):
    """The most likely next character after each true one, one text per stream."""
    _, ys = jaxrnn.unroll(NETWORK, params, jnp.asarray(inputs))
    streams = np.atleast_2d(np.asarray(ys.argmax(-1)).T)
    return [VOCABULARY.decode(stream) for stream in streams]


def print_shapes():
    """The shapes that the notebook prints, time first and batch first."""
    two_layers = jaxrnn.stack(lstm(3, 5), lstm(5, 5))
    three_layers = jaxrnn.stack(lstm(35, 35), lstm(35, 35), lstm(35, 35))
    rows = []
    for name, network, shape, time_axis, noted in (
        ("two layers", two_layers, (5, 3, 3), 0, "(5, 3, 5) (2, 3, 5) (2, 3, 5)"),
        ("batch first", two_layers, (3, 5, 3), 1, "(3, 5, 5) (2, 3, 5) (2, 3, 5)"),
        ("one character", three_layers, (1, 1, 35), 0, "(1, 1, 35) (3, 1, 35) (3, 1, 35)"),
        ("five windows", three_layers, (5, 1, 35), 1, "(5, 1, 35) (3, 5, 35) (3, 5, 35)"),
    ):
        params = jax.jit(network.init)(jax.random.key(0))
        carry, ys = jaxrnn.unroll(network, params, jnp.zeros(shape), time_axis=time_axis)
        h, c = (jnp.stack([getattr(own, leaf) for own in carry.layers]) for leaf in "hc")
        rows.append((name, str(shape), f"{ys.shape} {h.shape} {c.shape}", noted))
    show.table(("shapes", "input", "output, hidden state, cell state", "notebook"), rows)


def main(epochs: int = 1000, seed: int = 0, picture: Path = Path("remember.png")) -> None:
    """Learn one sentence with three LSTM layers, alone and in five windows at once.

    Args:
        epochs: Passes over the sentence.
        seed: Seed of the initial weights.
        picture: Where to draw.
    """
    show.check(picture, epochs=epochs)
    print_shapes()
    params = jax.jit(NETWORK.init)(jax.random.key(seed))
    alone, losses = train(params, sentence(), epochs)
    batched, batch_losses = train(params, windows(), epochs)
    show.table(
        ("epoch", "sentence", "notebook", "five windows", "notebook"),
        [
            (str(epoch), *(f"{x:.4f}" for x in numbers))
            for epoch in LOSSES
            if epoch < epochs
            for numbers in [
                (losses[epoch], LOSSES[epoch], batch_losses[epoch], BATCH_LOSSES[epoch])
            ]
        ]
        + [(str(epochs - 1), f"{losses[-1]:.4f}", "-", f"{batch_losses[-1]:.4f}", "-")],
    )
    claims = {}
    for name, trained in (("sentence", alone), ("five windows", batched)):
        key = jax.random.key(0)  # not used: at temperature 0 nothing is left to chance
        pieces = generate(NETWORK, trained, VOCABULARY, [BEGIN], len(SENTENCE), key, temperature=0)
        reproduced, written = read_back(trained, TOKENS[:-2])[0], "".join(own for (own,) in pieces)
        print(f"trained on the {name}")
        print(f"  the truth as input       {reproduced}")
        print(f"  its own text as input    {written}")
        claims[f"trained on the {name}, they reproduce it"] = reproduced == SENTENCE
        claims[f"trained on the {name}, they write it alone"] = written == SENTENCE
    print("\nthe five windows, each answered one character ahead:")
    inputs, _ = windows()
    for window, answered in zip(inputs.T, read_back(batched, inputs), strict=True):
        print(f"  {VOCABULARY.decode(window[:24])}…  →  {answered[:24]}…{answered[-8:]}")
    print(
        "The last two both begin with l, so nobody can know their first answer: the loss of the "
        f"five\nwindows cannot fall below 2 · (½² + ½²) / (5 · 35) = {1 / 175:.4f}.\n"
    )
    show.picture(picture, (9.5, 3.9), lambda figure: draw(figure, alone, losses, batch_losses))
    show.lesson(__doc__, claims)


def draw(figure, params, losses, batch_losses):
    """Left the losses beside the notebook's; right what the layers do while they spell."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    epochs = len(losses)
    for name, ours, noted, colour in (
        ("sentence", losses, LOSSES, show.BLUE),
        ("five windows", batch_losses, BATCH_LOSSES, show.ORANGE),
    ):
        left.semilogy(ours, color=colour, label=name)
        left.plot(list(noted), list(noted.values()), "o", color=colour, markersize=5.5)
    left.axhline(1 / 175, color=show.ORANGE, linestyle="--", linewidth=1)
    left.text(
        epochs, 1.06 / 175, "floor of the five windows", color=show.ORANGE, ha="right", size=8
    )
    left.plot([], [], "o", color="#555555", label="notebook")
    left.set(title="The loss, beside the notebook's", xlabel="epoch", ylabel="summed loss")
    left.legend()
    _, ys = jaxrnn.unroll(NETWORK, params, jnp.asarray(TOKENS[:-1]))
    image = right.imshow(np.asarray(ys).T, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    right.set_xticks(
        range(len(SENTENCE) + 1), BEGIN + SENTENCE, family="DejaVu Sans Mono", size=5.5
    )
    right.set_yticks(
        range(VOCABULARY.size), VOCABULARY.characters, family="DejaVu Sans Mono", size=5
    )
    right.tick_params(length=0)
    right.set(title="What it writes, character by character", xlabel="read")
    right.set_ylabel("written")
    right.grid(visible=False)
    figure.colorbar(image, ax=right, label="output")


if __name__ == "__main__":
    command_line.run(main)
