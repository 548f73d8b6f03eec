"""Second notebook: the hidden cell by hand, the shapes of three networks, and a first small task.

    python examples/neuralnet.py

The library's cell computes what four lines of NumPy compute, and its networks have the shapes of
PyTorch's. Eight hidden units then learn to read "recurrent" and to answer, letter by letter,
"neuralnet"; they are right well before epoch 20.
"""

from pathlib import Path

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.initializers import FanInUniform, TorchUniform
from jaxrnn.text import CharVocabulary
from jaxrnn.training import cross_entropy, init_state, make_update, run_epochs, two_biases

READ, ANSWER = "recurrent", "neuralnet"
VOCABULARY = CharVocabulary.from_text(READ + ANSWER)
BATCH = VOCABULARY.encode(READ), VOCABULARY.encode(ANSWER)
HIDDEN = 8

# What the notebook printed.
LOSSES = {0: 2.09045, 20: 0.0139983, 40: 0.0016271, 60: 0.0009612, 80: 0.0007755, 100: 0.0006672}
TEXTS = {0: "reeeereer", 20: ANSWER, 40: ANSWER, 60: ANSWER, 80: ANSWER, 100: ANSWER}
SHAPES = {
    "one layer": ((1, 10, 8), (1, 1, 8)),
    "four layers": ((1, 10, 8), (4, 1, 8)),
    "three bidirectional layers": ((1, 10, 16), (6, 1, 8)),
}


def elman(inputs: int, hidden: int) -> jaxrnn.Elman:
    """An Elman cell that begins as `torch.nn.RNN` does."""
    uniform = TorchUniform()
    return jaxrnn.Elman(
        inputs, hidden, input_init=uniform, recurrent_init=uniform, bias_init=uniform
    )


NETWORK = jaxrnn.stack(
    jaxrnn.OneHot(VOCABULARY.size),
    elman(VOCABULARY.size, HIDDEN),
    jaxrnn.Linear(HIDDEN, VOCABULARY.size, kernel_init=FanInUniform(), bias_init=TorchUniform()),
)


def loss_fn(params, carry, batch):
    """Mean cross-entropy of the answer."""
    inputs, targets = batch
    _, logits = jaxrnn.unroll(NETWORK, params, inputs)
    return cross_entropy(logits, targets), carry


def predict(params) -> jax.Array:
    """The probability of every letter at every instant, [time, letters]."""
    _, logits = jaxrnn.unroll(NETWORK, params, jnp.asarray(BATCH[0]))
    return jax.nn.softmax(logits)


def train(params, epochs: int):
    """Adam 0.1, as in the notebook: each epoch's loss, and the predictions before its update."""
    optimizer = optax.chain(optax.adam(0.1), two_biases())
    update = make_update(loss_fn, optimizer)
    batches = jax.tree.map(lambda leaf: leaf[None], BATCH)
    _, history = run_epochs(update, init_state(params, optimizer), batches, epochs, watch=predict)
    return np.asarray(history.metrics.loss[:, 0]), np.asarray(history.watched)


def by_hand(seed: int) -> float:
    """The notebook's cell in NumPy against ours; the largest difference."""
    random = np.random.default_rng(seed)
    xs, h = random.random((10, 4)), np.zeros(8)
    Wx, Wh, b = random.random((8, 4)), random.random((8, 8)), random.random(8)
    hs = []
    for x in xs:
        h = np.tanh(Wx @ x + Wh @ h + b)
        hs.append(h)

    # The library multiplies from the right, x W, so its kernels are the transposes.
    params = jaxrnn.ElmanParams(*map(jnp.asarray, (Wx.T, Wh.T, b)))
    _, ys = jaxrnn.unroll(jaxrnn.Elman(4, 8), params, jnp.asarray(xs))
    return float(np.abs(np.asarray(ys) - np.stack(hs)).max())


def shapes(network) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of all outputs and of all last hidden states, for a batch of one, batch axis first."""
    params = jax.jit(network.init)(jax.random.key(0))
    carry, ys = jaxrnn.unroll(network, params, jnp.zeros((1, 10, 5)), time_axis=1)
    return ys.shape, jnp.stack(jax.tree.leaves(carry)).shape


def main(epochs: int = 101, seed: int = 0, picture: Path = Path("neuralnet.png")) -> None:
    """Learn to answer "recurrent" with "neuralnet".

    Args:
        epochs: Passes over the nine letters.
        seed: Seed of the initial weights.
        picture: Where to draw.
    """
    show.check(picture, epochs=epochs)
    difference = by_hand(seed)
    print(f"The cell by hand: the largest difference to NumPy is {difference:.0e}.\n")
    networks = {
        "one layer": elman(5, 8),
        "four layers": jaxrnn.stack(elman(5, 8), elman(8, 8), elman(8, 8), elman(8, 8)),
        "three bidirectional layers": jaxrnn.stack(
            jaxrnn.bidirectional(elman(5, 8)),
            jaxrnn.bidirectional(elman(16, 8)),
            jaxrnn.bidirectional(elman(16, 8)),
        ),
    }
    found = {name: shapes(network) for name, network in networks.items()}
    show.table(
        ("shapes", "outputs", "notebook", "last hidden states", "notebook"),
        [
            (name, str(ys), str(noted_ys), str(hs), str(noted_hs))
            for name, (noted_ys, noted_hs) in SHAPES.items()
            for ys, hs in [found[name]]
        ],
    )

    losses, probabilities = train(jax.jit(NETWORK.init)(jax.random.key(seed)), epochs)
    texts = [VOCABULARY.decode(epoch.argmax(-1)) for epoch in probabilities]
    show.table(
        ("epoch", "loss", "notebook", "answer", "notebook"),
        [
            (str(epoch), float(losses[epoch]), noted, texts[epoch], TEXTS[epoch])
            for epoch, noted in LOSSES.items()
            if epoch < epochs
        ],
    )
    if ANSWER in texts:
        print(f'"{ANSWER}" is right for the first time at epoch {texts.index(ANSWER)}.')
    show.picture(picture, (9.5, 3.4), lambda figure: draw(figure, losses, probabilities))
    claims = {
        "the cell computes what NumPy computes": difference < 1e-5,
        "its networks have the shapes of PyTorch's": found == SHAPES,
        f'"{ANSWER}" is right well before epoch 20': ANSWER in texts[:15],
    }
    show.lesson(__doc__, claims)


def draw(figure, losses, probabilities):
    """Left the loss beside the notebook's; right how sure the network is of each letter."""
    left, right = figure.subplots(1, 2)
    left.semilogy(losses, color=show.BLUE, label="jaxrnn")
    left.semilogy(list(LOSSES), list(LOSSES.values()), "o", color=show.ORANGE, label="notebook")
    left.set(title="The loss, beside the notebook's", xlabel="epoch", ylabel="loss (nats)")
    left.legend()
    of_the_right_letter = probabilities[:, np.arange(len(ANSWER)), BATCH[1]].T
    shown = min(len(losses), 30)
    image = right.imshow(
        of_the_right_letter[:, :shown],
        aspect="auto",
        cmap="viridis",
        vmin=0,
        vmax=1,
        extent=(-0.5, shown - 0.5, len(ANSWER) - 0.5, -0.5),
    )
    letters = [f"{a} → {b}" for a, b in zip(READ, ANSWER, strict=True)]
    right.set_yticks(range(len(letters)), letters, family="DejaVu Sans Mono")
    right.set(title="How sure it is of each letter", xlabel="epoch")
    right.grid(visible=False)
    figure.colorbar(image, ax=right, label="probability")


if __name__ == "__main__":
    command_line.run(main)
