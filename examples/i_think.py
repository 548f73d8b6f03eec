"""Third notebook: " I think therefore I am.", and which cell learns it best.

    python examples/i_think.py

The hidden state serves as the logits, so none of them can leave (−1, 1) and the loss cannot fall
below log(1 + 13 e⁻²) ≈ 1.015; and a state that has to spell the next character has no room left to
remember the last ones. The LSTM learns the sentence all the same, because its cell state remembers
in private; Elman and GRU have no such place and mostly fail, until a linear layer reads the state.
"""

import math
from pathlib import Path
from typing import NamedTuple

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.errors import InputError
from jaxrnn.initializers import FanInUniform, TorchUniform
from jaxrnn.text import CharVocabulary
from jaxrnn.training import cross_entropy, init_state, make_update, run_epochs, two_biases

SENTENCE = " I think therefore I am."
VOCABULARY = CharVocabulary.from_text(SENTENCE)
TOKENS = VOCABULARY.encode(SENTENCE)
BATCH = TOKENS[:-1], TOKENS[1:]
SIZE = (
    VOCABULARY.size
)  # of the one-hot vectors, of the hidden state, and of the logits it serves as
FLOOR = math.log(1 + (SIZE - 1) * math.exp(-2))

UNIFORM = {
    "input_init": TorchUniform(),
    "recurrent_init": TorchUniform(),
    "bias_init": TorchUniform(),
}
CELLS = {
    "LSTM": jaxrnn.LSTM(SIZE, SIZE, forget_bias=0.0, **UNIFORM),  # as torch.nn.LSTM begins
    "GRU": jaxrnn.GRU(SIZE, SIZE, **UNIFORM),
    "Elman": jaxrnn.Elman(SIZE, SIZE, **UNIFORM),
}
READ_OUT = jaxrnn.Linear(SIZE, SIZE, kernel_init=FanInUniform(), bias_init=TorchUniform())

# What the notebook printed of its LSTM; it was right at epoch 38 and no longer at 264 … 268.
LOSSES = {0: 2.6722, 1: 2.5650, 2: 2.4840, 3: 2.3673, 38: 1.3052, 75: 1.2706, 114: 1.2428}
LOSSES |= {151: 1.2362, 183: 1.2328, 230: 1.2285, 265: 1.3349, 268: 1.3167}


class Trial(NamedTuple):
    """What became of one network from many initial weights."""

    losses: np.ndarray  # [epochs, seeds]
    right: np.ndarray  # [epochs, seeds], whether every character was


def network(cell: str, read_out: bool = False):
    """From tokens to logits: the hidden state itself, or what a linear layer makes of it."""
    return jaxrnn.stack(jaxrnn.OneHot(SIZE), CELLS[cell], *([READ_OUT] if read_out else []))


def make_loss(layer):
    """Mean cross-entropy of the next character."""

    def loss_fn(params, carry, batch):
        inputs, targets = batch
        _, logits = jaxrnn.unroll(layer, params, inputs)
        return cross_entropy(logits, targets), carry

    return loss_fn


def train(layer, params, epochs: int, learning_rate: float = 0.1) -> Trial:
    """Train one network per row of `params`, all in one call."""
    optimizer = optax.chain(optax.adam(learning_rate), two_biases())
    update = make_update(make_loss(layer), optimizer)

    def all_right(params):
        _, logits = jaxrnn.unroll(layer, params, jnp.asarray(BATCH[0]))
        return (logits.argmax(-1) == BATCH[1]).all()

    _, history = run_epochs(
        jax.vmap(update, in_axes=(0, None)),
        jax.jit(jax.vmap(lambda params: init_state(params, optimizer)))(params),
        batches=jax.tree.map(lambda leaf: leaf[None], BATCH),
        epochs=epochs,
        watch=jax.vmap(all_right),
    )
    return Trial(np.asarray(history.metrics.loss[:, 0]), np.asarray(history.watched))


def summary(trial: Trial) -> tuple[str, ...]:
    """How many seeds were ever right, when, were so at the end, stumbled, jumped; the last loss."""
    ever, first = trial.right.any(axis=0), trial.right.argmax(axis=0)
    # Stumbled: after epoch 100, wrong again although right for the ten epochs before.
    steady = np.lib.stride_tricks.sliding_window_view(trial.right[:-1], 10, axis=0).all(-1)
    stumbled = (steady & ~trial.right[10:])[90:].any(axis=0)
    return (
        f"{ever.mean():.0%}",
        f"{np.median(first[ever]):.0f}" if ever.any() else "-",
        f"{trial.right[-1].mean():.0%}",
        f"{stumbled.mean():.0%}",
        f"{(np.diff(trial.losses[100:], axis=0) > 0.05).any(axis=0).mean():.0%}",
        f"{np.median(trial.losses[-1]):.4f}",
    )


def main(
    epochs: int = 300, seeds: int = 64, seed: int = 0, picture: Path = Path("i_think.png")
) -> None:
    """Learn one sentence with three cells, from many initial weights each.

    Args:
        epochs: Passes over the sentence, at least 11.
        seeds: How many initial weights to train, all in one call.
        seed: Seed from which they are drawn.
        picture: Where to draw.
    """
    show.check(picture)
    if epochs < 11 or seeds < 1:
        raise InputError(f"epochs is {epochs} and seeds {seeds}; give at least 11 and 1.")
    keys = jax.random.split(jax.random.key(seed), seeds)
    plan = [(cell, read_out, 0.1) for read_out in (False, True) for cell in CELLS]
    plan.insert(1, ("LSTM", False, 0.03))
    trials = {}
    for cell, read_out, rate in plan:
        layer = network(cell, read_out)
        trials[cell, read_out, rate] = train(
            layer, jax.jit(jax.vmap(layer.init))(keys), epochs, rate
        )

    lstm = trials["LSTM", False, 0.1]
    print(f"The LSTM whose hidden state is the logits, {seeds} initial weights; loss by epoch:\n")
    show.table(
        ("epoch", "notebook", "median", "best tenth", "worst tenth", "all right", "notebook"),
        [
            (str(epoch), f"{noted:.4f}")
            + tuple(f"{np.quantile(lstm.losses[epoch], share):.4f}" for share in (0.5, 0.1, 0.9))
            + (f"{lstm.right[epoch].mean():.0%}", "yes" if 38 <= epoch <= 230 else "no")
            for epoch, noted in LOSSES.items()
            if epoch < epochs
        ],
    )
    lowest = min(trials[cell, False, 0.1].losses.min() for cell in CELLS)
    print(f"floor log(1 + {SIZE - 1} e⁻²) = {FLOOR:.4f}; the lowest loss of all: {lowest:.4f}\n")
    print("The practice questions: does it learn, and which cell does?\n")
    show.table(
        ("cell", "logits", "Adam", "ever right", "at epoch (median)", "right at the end")
        + ("wrong again", "loss jumped", "last loss (median)"),
        [
            (cell, "linear layer" if read_out else "hidden state", str(rate), *summary(trial))
            for (cell, read_out, rate), trial in trials.items()
        ],
    )
    print("wrong again, loss jumped by 0.05 in one epoch: both after epoch 100\n")
    show.picture(picture, (9.5, 3.9), lambda figure: draw(figure, trials))
    learned = {plan: trial.right.any(axis=0).mean() for plan, trial in trials.items()}
    with_layer = [share for (_, read_out, _), share in learned.items() if read_out]
    claims = {
        "no loss is below the floor": lowest >= FLOOR,
        "most LSTMs learn the sentence": learned["LSTM", False, 0.1] > 0.5,
        "most GRUs do not": learned["GRU", False, 0.1] < 0.5,
        "most Elman networks do not": learned["Elman", False, 0.1] < 0.5,
        "with a linear layer nearly all of all cells do": min(with_layer) > 0.9,
    }
    show.lesson(__doc__, claims)


def draw(figure, trials):
    """Left the losses of the notebook's network; right the success of each cell."""
    left, right = figure.subplots(1, 2)
    lstm = trials["LSTM", False, 0.1]
    left.plot(lstm.losses, color=show.SKY, linewidth=0.5, alpha=0.35)
    left.plot(np.median(lstm.losses, axis=1), color=show.BLUE, label="median of all seeds")
    left.plot(list(LOSSES), list(LOSSES.values()), "o", color=show.ORANGE, label="notebook")
    left.axhline(FLOOR, color="#333333", linestyle="--", linewidth=1)
    left.text(len(lstm.losses), FLOOR + 0.02, "floor log(1 + 13 e⁻²)", ha="right")
    left.set(
        title="An LSTM whose hidden state is the logits",
        xlabel="epoch",
        ylabel="loss (nats per character)",
        ylim=(0.95, 2.75),
    )
    left.legend()
    colours = {"LSTM": show.BLUE, "GRU": show.GREEN, "Elman": show.ORANGE}
    for (cell, read_out, rate), trial in trials.items():
        if rate == 0.1:
            style = {"linestyle": "--", "linewidth": 1.2} if read_out else {"label": cell}
            right.plot(100 * trial.right.mean(axis=1), color=colours[cell], **style)
    right.plot([], [], "--", color="#555555", linewidth=1.2, label="with a linear layer")
    right.set(
        title="Who has learned the whole sentence",
        xlabel="epoch",
        ylabel="% of seeds with every character right",
        ylim=(-3, 103),
    )
    right.legend(loc="center right", bbox_to_anchor=(1, 0.45))


if __name__ == "__main__":
    command_line.run(main)
