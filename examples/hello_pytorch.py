"""First notebook: one sentence, learned by heart, and why it comes out garbled.

    python examples/hello_pytorch.py

Four networks learn a sentence until they predict every character of it. Left alone with their raw
outputs as the next input, as in the notebook, each reads something it was never trained on, and
errors grow until the thread is lost; a state warmed up on the truth does not help for long. Given
the one-hot vector of the character they chose, all four write the sentence without a mistake.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.initializers import FanInUniform, TorchUniform
from jaxrnn.linear import affine
from jaxrnn.text import CharVocabulary, free_run, most_likely
from jaxrnn.training import (
    cross_entropy,
    init_state,
    make_update,
    mean_squared_error,
    run_epochs,
    two_biases,
)

SENTENCE = "hello pytorch. how long can a rnn cell remember? show me your limit!"
BEGIN, END = "0", "1"
VOCABULARY = CharVocabulary("abcdefghijklmnopqrstuvwxyz ?!.,:;" + BEGIN + END)
TOKENS = VOCABULARY.encode(BEGIN + SENTENCE + END)
HIDDEN = 35


class ConcatParams(NamedTuple):
    """Weights of a `ConcatElman`: both maps read [x, h]."""

    hidden_kernel: jax.Array
    hidden_bias: jax.Array
    output_kernel: jax.Array
    output_bias: jax.Array


@dataclasses.dataclass(frozen=True, repr=False)
class ConcatElman(jaxrnn.Cell):
    """The notebook's first network: the output reads the input and the PREVIOUS hidden state.

    h' = tanh([x, h] W + b),    y = [x, h] V + c
    """

    input_size: int
    hidden_size: int
    outputs: int

    def init(self, key):
        """Draw all weights as two `torch.nn.Linear` would: kernel and bias alike."""
        keys = jax.random.split(key, 4)
        joint, draw = self.input_size + self.hidden_size, FanInUniform()
        return ConcatParams(
            hidden_kernel=draw(keys[0], (joint, self.hidden_size)),
            hidden_bias=draw(keys[1], (joint, self.hidden_size))[0],
            output_kernel=draw(keys[2], (joint, self.outputs)),
            output_bias=draw(keys[3], (joint, self.outputs))[0],
        )

    def initial_carry(self, batch_shape=()):
        """Zeros."""
        return jnp.zeros((*batch_shape, self.hidden_size))

    def step(self, params, carry, drive):
        """One instant of the equations above."""
        joint = jnp.concatenate([drive, carry], axis=-1)
        h = jnp.tanh(affine(joint, params.hidden_kernel, params.hidden_bias))
        return h, affine(joint, params.output_kernel, params.output_bias)


class Variant(NamedTuple):
    """A network, a loss, and what the notebook says about the two."""

    name: str
    network: jaxrnn.Layer
    loss: str  # MSE or NLL
    text: str | None = None  # what the notebook's network wrote from its raw outputs
    losses: tuple[float, ...] = ()  # what the notebook printed at epochs `PRINTED`


CONCAT = ConcatElman(VOCABULARY.size, HIDDEN, VOCABULARY.size)
ELMAN = jaxrnn.stack(
    jaxrnn.Elman(
        VOCABULARY.size,
        HIDDEN,
        input_init=FanInUniform(),
        recurrent_init=FanInUniform(),
        bias_init=TorchUniform(),
    ),
    jaxrnn.Linear(HIDDEN, VOCABULARY.size, kernel_init=FanInUniform(), bias_init=TorchUniform()),
)
PRINTED = (0, 10, 20, 50, 100, 200, 230)  # the notebook's output breaks off after epoch 230
VARIANTS = (
    Variant(
        "concat, MSE",
        CONCAT,
        "MSE",
        "hello pytorch. how eonn ceml r yr r mbmr alin eemlir?yeuc l nn ee e ",
    ),
    Variant(
        "Elman, MSE",
        ELMAN,
        "MSE",
        "hell lomr llo?i llomilllo illlom lolor llo?i loo?i llooi lloom lloom",
        (0.0530, 0.0174, 0.0119, 0.0016, 0.0009, 0.0007, 0.0002),
    ),
    Variant(
        "concat, NLL",
        CONCAT,
        "NLL",
        "hptttttttttttttttttttttttttttttttttttttttttttttttttttttttttttaaaaaaa",
        (3.5897, 4.3310, 3.2535, 0.0998, 0.0096, 0.0041, 0.0034),
    ),
    Variant("Elman, NLL", ELMAN, "NLL"),
)


def one_hot(tokens) -> jax.Array:
    """One-hot vectors [time, characters]."""
    return jaxrnn.OneHot(VOCABULARY.size).map((), jnp.asarray(tokens))


def character_losses(variant: Variant, params) -> jax.Array:
    """The loss of each of the 69 predictions, the true characters being the input."""
    xs = one_hot(TOKENS)
    _, ys = jaxrnn.unroll(variant.network, params, xs[:-1])
    loss = mean_squared_error if variant.loss == "MSE" else cross_entropy
    return jax.vmap(loss)(ys, xs[1:] if variant.loss == "MSE" else jnp.asarray(TOKENS[1:]))


def make_loss(variant: Variant):
    """The notebook's loss: a mean over the 35 entries, but a SUM over the characters."""

    def loss_fn(params, carry, batch):
        return character_losses(variant, params).sum(), carry

    return loss_fn


def make_optimizer():
    """Adam 0.01, and two biases where the notebook's Elman adds two Linear layers."""
    return optax.chain(optax.adam(0.01), two_biases())


def train(variant: Variant, params, epochs: int):
    """Learn the sentence: the trained parameters, and the loss of each character, each epoch."""
    optimizer = make_optimizer()
    update = make_update(make_loss(variant), optimizer)
    state, history = run_epochs(
        update,
        init_state(params, optimizer),
        batches=jnp.zeros(1),  # one batch, the sentence; nothing about it changes
        epochs=epochs,
        watch=lambda params: character_losses(variant, params),
    )
    return state.params, np.asarray(history.watched)


def write(variant: Variant, params, feed_back, known: int = 0) -> tuple[str, np.ndarray]:
    """What the network writes after `known` true characters, and what it read meanwhile."""
    xs = one_hot(TOKENS)
    carry = variant.network.start(params)
    if known:  # the state is warmed up on the truth
        carry, _ = jaxrnn.unroll(variant.network, params, xs[:known])
    length = len(SENTENCE) - known
    _, ys = free_run(variant.network, params, xs[known], length, feed_back, carry)
    return VOCABULARY.decode(ys.argmax(-1)), np.asarray(feed_back(ys), np.float64)


def raw_output(variant: Variant):
    """What the notebook feeds back: y itself, or with NLL the log-probabilities."""
    return jax.nn.log_softmax if variant.loss == "NLL" else unchanged


def unchanged(y):
    """The output as it is."""
    return y


def in_a_row(text: str, known: int = 0) -> str:
    """How many characters are right before the first wrong one."""
    matches = [a == b for a, b in zip(text, SENTENCE[known:], strict=True)]
    return f"{[*matches, False].index(False)}/{len(matches)}"


def whole(right: str) -> bool:
    """Whether all are right, of what `in_a_row` says."""
    count, of_all = right.split("/")
    return count == of_all


def main(epochs: int = 1000, seed: int = 0, picture: Path = Path("hello_pytorch.png")) -> None:
    """Learn one sentence by heart with four networks, and write it back.

    Args:
        epochs: Passes over the sentence.
        seed: Seed of the initial weights.
        picture: Where to draw.
    """
    show.check(picture, epochs=epochs)
    results = []
    for variant in VARIANTS:
        params = jax.jit(variant.network.init)(jax.random.key(seed))
        results.append((variant, *train(variant, params, epochs)))

    print("Loss of the LAST character, which is what the notebook prints:\n")
    compared = [result for result in results if result[0].losses]
    show.table(
        ("epoch", *(f"{v.name}{who}" for v, _, _ in compared for who in ("", ", notebook"))),
        [
            (
                f"{epoch}",
                *(x for v, _, losses in compared for x in (losses[epoch, -1], v.losses[n])),
            )
            for n, epoch in enumerate(PRINTED)
            if epoch < epochs
        ],
    )

    print("Characters right in a row, by what the network reads:\n")
    rows, drawn = [], []
    for variant, params, losses in results:
        _, ys = jaxrnn.unroll(variant.network, params, one_hot(TOKENS[:-2]))
        forced = VOCABULARY.decode(ys.argmax(-1))
        garbled, read = write(variant, params, raw_output(variant))
        clean, _ = write(variant, params, most_likely)
        warm = [in_a_row(write(variant, params, raw_output(variant), k)[0], k) for k in (20, 40)]
        noted = "-" if variant.text is None else in_a_row(variant.text)
        rows.append(
            (variant.name, in_a_row(forced), in_a_row(garbled), noted, *warm, in_a_row(clean))
        )
        drawn.append((variant, losses, garbled, clean, read))
    show.table(
        ("network", "the truth", "its raw output", "same, notebook")
        + ("same, from 20 on", "same, from 40 on", "its choice, one-hot"),
        rows,
    )
    for variant, _, garbled, clean, _ in drawn:
        print(f"{variant.name}")
        print(f"  raw output, notebook  {variant.text or '-'}")
        print(f"  raw output            {garbled}")
        print(f"  one-hot               {clean}\n")

    show.picture(picture, (9.5, 3.9), lambda figure: draw(figure, drawn))
    _, truth, raw, _, from_20, from_40, choice = zip(*rows, strict=True)
    claims = {
        "all four predict every character of the sentence": all(map(whole, truth)),
        "all four lose the thread on their raw output": not any(map(whole, raw)),
        "and also after 20 or 40 true characters": not any(map(whole, from_20 + from_40)),
        "given their one-hot choices all four write the sentence": all(map(whole, choice)),
    }
    show.lesson(__doc__, claims)


def draw(figure, drawn):
    """Left the losses; right how far what the network reads is from the truth."""
    left, right = figure.subplots(1, 2)
    colours = (show.BLUE, show.ORANGE, show.GREEN, show.PINK)
    for (variant, losses, garbled, _, read), colour in zip(drawn, colours, strict=True):
        left.semilogy(losses.mean(axis=1), color=colour, label=variant.name)
        truth = np.eye(VOCABULARY.size)[TOKENS[1:-1]]
        distance = np.linalg.norm(read - truth, axis=-1)
        right.semilogy(np.arange(1, 1 + len(distance)), distance, color=colour)
        wrong = [a != b for a, b in zip(garbled, SENTENCE, strict=True)]
        if any(wrong):
            first = wrong.index(True)
            right.plot(1 + first, distance[first], "o", color=colour, markersize=7)
    left.set(title="Learned by heart …", xlabel="epoch", ylabel="loss per character")
    left.legend()
    right.set(
        title="… and forgotten on a diet of raw output",
        xlabel="characters written",
        ylabel="distance of what it reads\nfrom the true one-hot vector",
        ylim=(1e-4, 1e4),
    )
    right.text(24, 1e-2, "●  the first wrong character", color="#555555")
    right.text(24, 2e-3, "one-hot choices: distance 0 throughout", color="#555555")


if __name__ == "__main__":
    command_line.run(main)
