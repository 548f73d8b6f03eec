"""Fifth notebook: each derivative by hand, and what one step back cannot teach.

    python examples/vector.py

Every derivative of the notebook, computed by hand, agrees with JAX's to rounding. The "naive"
gradient, the fold `truncated(1)`, learns the word "vector"; beside fourteen words "ectoaxg" it
stays for hundreds of epochs at the loss of a reader who forgot the v, writing "vectoaxg", until
chance frees some of the initial weights: nothing teaches it to keep the v in mind. Backpropagation
through time teaches just that, and all of them are right within a hundred epochs.
"""

import functools
import math
import operator
from pathlib import Path
from typing import NamedTuple

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.initializers import Normal
from jaxrnn.text import CharVocabulary, generate, pad_words
from jaxrnn.training import init_state, make_update, run_epochs

# The notebook appends the line end to its LIST of words, so it is a word of its own: one letter
# that predicts itself. It is trained on, and the printed mean counts it.
WORD = ("vector", "\n")
TEXT = ("vector", *["ectoaxg"] * 14, "\n")

NAIVE, FULL = jaxrnn.folds.truncated(1), jaxrnn.folds.bptt


class Run(NamedTuple):
    """One training of the notebook, and what it printed at its "iterations" 100, 200, … 1000."""

    data: str
    words: tuple[str, ...]
    hidden: int
    gradient: str
    losses: tuple[float, ...] = ()
    samples: str = "-"


RUNS = (
    Run(
        "vector",
        WORD,
        50,
        "naive",
        (0.024105, 0.008210, 0.004808, 0.003363, 0.002570)
        + (0.002073, 0.001733, 0.001486, 0.001299, 0.001153),
        "10 vector",
    ),
    Run("vector", WORD, 50, "full"),
    Run(
        "text",
        TEXT,
        30,
        "naive",
        (0.276427, 0.263711, 0.258453, 0.255822, 0.252572)
        + (0.250950, 0.248281, 0.247235, 0.246427, 0.245807),
        "9 vectoaxg, 1 vector",
    ),
    Run(
        "text",
        TEXT,
        30,
        "full",
        (0.006938, 0.002462, 0.001465, 0.001034, 0.000796)
        + (0.000645, 0.000541, 0.000466, 0.000408, 0.000363),
        "10 vector",
    ),
)
# A reader that takes "vecto" and "ecto" for the same has one r among fifteen to guess.
NAIVE_FLOOR = (math.log(15) + 14 * math.log(15 / 14)) / len(TEXT)


def build(vocabulary: CharVocabulary, hidden: int):
    """The notebook's network, h = tanh(Wxh x + Whh h + bh), y = Why h + by; 0.01 · normal."""
    small = Normal(0.01)
    return jaxrnn.stack(
        jaxrnn.OneHot(vocabulary.size),
        jaxrnn.Elman(vocabulary.size, hidden, input_init=small, recurrent_init=small),
        jaxrnn.Linear(hidden, vocabulary.size, kernel_init=small),
    )


def make_loss(network, fold):
    """The notebook's loss of one word: a SUM of −ln p over its letters, from a fresh carry."""

    def loss_fn(params, carry, word):
        _, logits = jaxrnn.unroll(network, params, word.inputs, fold=fold)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, word.targets)
        return jnp.where(word.mask, nats, 0).sum(), carry

    return loss_fn


def make_optimizer(gradient: str):
    """SGD 0.1, an update after every word; the full gradient is clipped number by number to ±1.

    The notebook also writes `dparam = dparam / len(inputs)`, which gives a new array to a name and
    changes nothing; so there is no division here.
    """
    return optax.chain(optax.identity() if gradient == "naive" else optax.clip(1.0), optax.sgd(0.1))


def train(run: Run, network, params, words, epochs: int):
    """Train one network per row of `params`, all in one call.

    Returns:
      The trained parameters, and the mean loss of a word, [epochs, rows], as the notebook counts.
    """
    optimizer = make_optimizer(run.gradient)
    update = make_update(make_loss(network, NAIVE if run.gradient == "naive" else FULL), optimizer)
    state, history = run_epochs(
        jax.vmap(update, in_axes=(0, None)),
        jax.jit(jax.vmap(lambda params: init_state(params, optimizer)))(params),
        words,
        epochs,
    )
    return state.params, np.asarray(history.metrics.loss).mean(axis=1)


def vocabulary_of(words) -> CharVocabulary:
    """The characters of all words."""
    return CharVocabulary.from_text("".join(words))


def sample(network, params, vocabulary: CharVocabulary, count: int, seed: int) -> list[str]:
    """Words that begin with v, every letter drawn from the prediction, up to a line end."""
    key = jax.random.key(seed)
    pieces = generate(network, params, vocabulary, ["v"] * count, length=20, key=key)
    return ["v" + "".join(stream).split("\n")[0] for stream in zip(*pieces, strict=True)]


def counted(words: list[str]) -> str:
    """Say how often each word came."""
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words), key=words.index))


# The derivatives by hand.


class Instants(NamedTuple):
    """Something about y, h, and tanh's argument at every instant: their values or derivatives."""

    y: jax.Array  # [time, letters]
    h: jax.Array  # [time, hidden]
    raw: jax.Array  # [time, hidden]


def forward(params, xs, nudges: Instants, hop: bool) -> Instants:
    """The forward pass in plain words, with something added to y, h and raw at every instant.

    The derivative with respect to what was added, zero, is the one that the notebook calls dy, dh
    and dh_raw. Without `hop` a state is a constant to the next instant.
    """
    _, cell, linear = params.layers
    h, seen = jnp.zeros(cell.recurrent_kernel.shape[0]), []
    for x, nudge in zip(xs, zip(*nudges, strict=True), strict=True):
        d_y, d_h, d_raw = nudge
        raw = x @ cell.input_kernel + h @ cell.recurrent_kernel + cell.bias + d_raw
        here = jnp.tanh(raw) + d_h
        seen.append(Instants(y=here @ linear.kernel + linear.bias + d_y, h=here, raw=raw))
        h = here if hop else jax.lax.stop_gradient(here)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *seen)


@functools.partial(jax.jit, static_argnames="hop")
def by_hand(params, xs, targets, values: Instants, hop: bool) -> dict[str, jax.Array]:
    """The notebook's backward pass, sections 4 (naive) and 5 (`hop`: with dhnext)."""
    _, cell, linear = params.layers
    before = jnp.concatenate([jnp.zeros_like(values.h[:1]), values.h[:-1]])
    dy = jax.nn.softmax(values.y) - targets
    dh_next, dh, dh_raw = jnp.zeros(cell.bias.shape), [], []
    for t in reversed(range(len(xs))):
        dh.append(linear.kernel @ dy[t] + dh_next)
        dh_raw.append((1 - values.h[t] ** 2) * dh[-1])
        if hop:
            dh_next = cell.recurrent_kernel @ dh_raw[-1]
    dh, dh_raw = jnp.stack(dh[::-1]), jnp.stack(dh_raw[::-1])
    return {
        "dy": dy,
        "dWhy": values.h.T @ dy,
        "dby": dy.sum(axis=0),
        "dh": dh,
        "dh_raw": dh_raw,
        "dWxh": xs.T @ dh_raw,
        "dWhh": before.T @ dh_raw,
        "dbh": dh_raw.sum(axis=0),
    }


@functools.partial(jax.jit, static_argnames="hop")
def by_autodiff(params, xs, targets, hop: bool) -> tuple[jax.Array, Instants, dict[str, jax.Array]]:
    """The loss, the forward pass, and the same derivatives as JAX finds them."""
    _, cell, linear = params.layers
    time, hidden, letters = len(xs), cell.bias.shape[0], linear.bias.shape[0]
    zeros = Instants(*(jnp.zeros((time, width)) for width in (letters, hidden, hidden)))

    def loss_of(params, nudges):
        values = forward(params, xs, nudges, hop)
        return optax.softmax_cross_entropy(values.y, targets).sum(), values

    with_values = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
    (loss, values), (d_params, d_nudges) = with_values(params, zeros)
    _, d_cell, d_linear = d_params.layers
    return (
        loss,
        values,
        {
            "dy": d_nudges.y,
            "dWhy": d_linear.kernel,
            "dby": d_linear.bias,
            "dh": d_nudges.h,
            "dh_raw": d_nudges.raw,
            "dWxh": d_cell.input_kernel,
            "dWhh": d_cell.recurrent_kernel,
            "dbh": d_cell.bias,
        },
    )


def of_the_fold(network, params, word, fold) -> dict[str, jax.Array]:
    """The derivatives of the weights as the library's fold gives them."""
    gradient, _ = jax.jit(jax.grad(make_loss(network, fold), has_aux=True))(params, (), word)
    _, d_cell, d_linear = gradient.layers
    return {
        "dWhy": d_linear.kernel,
        "dby": d_linear.bias,
        "dWxh": d_cell.input_kernel,
        "dWhh": d_cell.recurrent_kernel,
        "dbh": d_cell.bias,
    }


def tell(seed: int) -> bool:
    """Encode, decode, one-hot, forward, loss, and each derivative, for the word 'vector'.

    Returns:
      Whether all derivatives agree to rounding.
    """
    vocabulary = vocabulary_of(WORD)
    tokens = vocabulary.encode(WORD[0])
    print(
        f"'vector' → {tokens.tolist()} → '{vocabulary.decode(tokens)}'; {vocabulary.size} letters"
    )
    network = build(vocabulary, hidden=4)
    params = jax.jit(network.init)(jax.random.key(seed))
    word = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), pad_words(vocabulary, WORD[:1]))
    one_hot = network.layers[0]
    xs, targets = one_hot.map((), word.inputs), one_hot.map((), word.targets)

    loss, values, _ = by_autodiff(params, xs, targets, hop=True)
    for t, letter in enumerate(WORD[0]):
        print(f"  {letter}  x = {''.join(str(int(x)) for x in xs[t])}   h = {numbers(values.h[t])}")
        print(f"     softmax(y) = {numbers(jax.nn.softmax(values.y[t]))}")
    print(
        f"loss {loss:.6f}; with weights this small it is 6 ln 7 = {6 * math.log(7):.6f} almost "
        "exactly, as in the\nnotebook, 11.674772\n"
    )

    print(
        "Each derivative by hand: its norm, and how far JAX's and the fold's are from it at most\n"
    )
    rows, differences = {}, []
    for hop, fold in ((False, NAIVE), (True, FULL)):
        _, values, expected = by_autodiff(params, xs, targets, hop)
        given = of_the_fold(network, params, word, fold)
        told = by_hand(params, xs, targets, values, hop)
        for name in ("dy", "dWhy", "dby", "dh", "dh_raw", "dWxh", "dWhh", "dbh"):
            value = told[name]
            others = [found[name] for found in (expected, given) if name in found]
            apart = [float(jnp.abs(value - other).max()) for other in others]
            differences += apart
            # Of what is no weight the fold gives no derivative.
            shown = [*(f"{x:.0e}" for x in apart), "-"][:2]
            rows.setdefault(name, [name]).extend([f"{jnp.linalg.norm(value):.6f}", *shown])
    show.table(("", "naive", "autodiff", "truncated(1)", "full", "autodiff", "bptt"), rows.values())
    return max(differences) < 1e-5


def numbers(vector) -> str:
    """A vector, each number with four decimals."""
    return " ".join(f"{x:+.4f}" for x in np.asarray(vector))


def main(
    epochs: int = 1001, seeds: int = 20, seed: int = 0, picture: Path = Path("vector.png")
) -> None:
    """Derive each gradient by hand, then train with the naive and with the full one.

    Args:
        epochs: Passes over the words.
        seeds: How many initial weights to train, all in one call.
        seed: Seed from which they are drawn, and the samples.
        picture: Where to draw.
    """
    show.check(picture, epochs=epochs, seeds=seeds)
    agree = tell(seed)
    keys = jax.random.split(jax.random.key(seed), seeds)
    rows, written, curves = [], [], []
    for run in RUNS:
        vocabulary = vocabulary_of(run.words)
        network = build(vocabulary, run.hidden)
        words = jax.tree.map(jnp.asarray, pad_words(vocabulary, run.words))
        trained, losses = train(run, network, jax.jit(jax.vmap(network.init))(keys), words, epochs)
        # The notebook adds the words of an epoch to the epoch's number before it prints.
        noted = {100 * (n + 1) - len(run.words): loss for n, loss in enumerate(run.losses)}
        curves.append((run, losses, noted))
        name = f"{run.data}, {run.gradient}, hidden {run.hidden}"
        for iteration in (100, 200, 500, 1000):
            epoch = iteration - len(run.words)
            if epoch < epochs:
                lowest, median, highest = np.quantile(losses[epoch], (0, 0.5, 1))
                rows.append((name, f"{iteration}", f"{noted[epoch]:.6f}" if noted else "-"))
                rows[-1] += tuple(f"{loss:.6f}" for loss in (median, lowest, highest))
        # Sampled: the network whose last loss is nearest to what the notebook printed.
        aim = run.losses[-1] if run.losses else np.median(losses[-1])
        nearest = int(np.abs(losses[-1] - aim).argmin())
        one = jax.tree.map(operator.itemgetter(nearest), trained)
        forgot = f"{(losses[-1] > 0.9 * NAIVE_FLOOR).sum()} of {seeds}"
        samples = counted(sample(network, one, vocabulary, 10, seed))
        written.append((name, forgot if run.data == "text" else "-", samples, run.samples))
    print(f"Mean loss of a word, from {seeds} initial weights:\n")
    show.table(("words, gradient", "print", "notebook", "median", "lowest", "highest"), rows)
    print(
        "Who at the end still forgets the v (no loss below (ln 15 + 14 ln 15/14) / 16 = "
        f"{NAIVE_FLOOR:.4f}),\nand ten samples of the network nearest to the notebook's loss:\n"
    )
    show.table(("words, gradient", "forget the v", "ten samples", "notebook"), written)
    show.picture(picture, (7.4, 4.1), lambda figure: draw(figure, curves))
    show.lesson(__doc__, {"all derivatives agree to rounding": agree} | claims_of(curves, written))


def claims_of(curves, written) -> dict[str, bool]:
    """What the script says about the trainings, and whether they showed it."""
    (_, word, _), _, (_, naive, _), (_, full, _) = curves
    forgetful = 0.9 * NAIVE_FLOOR
    return {
        'the naive gradient learns the word "vector"': word[-1].max() < 0.05,
        "beside the others most forget the v for hundreds of epochs": (
            np.median(naive[min(300, len(naive) - 1)]) > forgetful and len(naive) > 300
        ),
        "chance frees some of them": naive[-1].min() < forgetful,
        'one that is not free writes "vectoaxg"': "vectoaxg" in written[2][2],
        "backpropagation through time is right within a hundred epochs": (
            full[:100].min(axis=0).max() < forgetful
        ),
    }


def draw(figure, curves):
    """The loss of every network on the text, beside the notebook's."""
    axes = figure.subplots()
    for (run, losses, noted), colour in zip(curves[2:], (show.ORANGE, show.BLUE), strict=True):
        label = {"naive": "naive: truncated(1)", "full": "backpropagation through time"}
        axes.semilogy(losses, color=colour, linewidth=0.6, alpha=0.45)
        axes.plot([], [], color=colour, label=label[run.gradient])
        axes.plot(list(noted), list(noted.values()), "o", color=colour, markersize=5)
    axes.plot([], [], "o", color="#555555", markersize=5, label="notebook")
    axes.axhline(NAIVE_FLOOR, color="#333333", linestyle="--", linewidth=1)
    axes.text(len(losses), NAIVE_FLOOR * 0.68, "floor of whoever forgets the v", ha="right", size=8)
    axes.set(
        title="'vector' among fourteen 'ectoaxg': one step back teaches no memory",
        xlabel="epoch",
        ylabel="mean loss of a word (nats)",
    )
    axes.legend(loc="lower left")


if __name__ == "__main__":
    command_line.run(main)
