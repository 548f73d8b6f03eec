"""The first notebook's theory: how far back a derivative reaches, and what makes it explode.

    python examples/vanishing.py

One of four symbols is shown, noise follows, and thirty instants later the symbol is asked for. Who
will recall it stands in the derivatives before training: tanh, the GRU and the LSTM without a
forget bias pass back a few millionths and learn nothing; the LSTM with forget bias 1 and the IRNN
pass back enough. With a kernel of 1.2 · I derivatives explode, and only clipped ones train at all.
"""

import dataclasses
import functools
from pathlib import Path

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
import show

import jaxrnn
from jaxrnn.initializers import Identity, TorchUniform
from jaxrnn.training import adam, bits, cross_entropy, init_state, make_update, run_epochs

HIDDEN = 32
SYMBOLS = 4  # one of them comes first, and is asked for at the end
NOISE = 4  # what stands between
TOKENS = SYMBOLS + NOISE + 1  # and the question itself
LENGTH = 30

UNIFORM = {"input_init": TorchUniform(), "recurrent_init": TorchUniform()}
CELLS = {
    "Elman, tanh": jaxrnn.Elman(TOKENS, HIDDEN, **UNIFORM),
    "IRNN: relu, identity": jaxrnn.Elman(
        TOKENS, HIDDEN, activation=jax.nn.relu, recurrent_init=Identity()
    ),
    "LSTM, forget bias 0": jaxrnn.LSTM(TOKENS, HIDDEN, forget_bias=0.0, **UNIFORM),
    "LSTM, forget bias 1": jaxrnn.LSTM(TOKENS, HIDDEN, forget_bias=1.0, **UNIFORM),
    "GRU": jaxrnn.GRU(TOKENS, HIDDEN, **UNIFORM),
}
LASTING = "IRNN: relu, identity", "LSTM, forget bias 1"  # enough comes back to learn from

# Relu and 1.2 · I: what comes back over 29 instants has grown 1.2²⁹ ≈ 200 times.
EXPLODING = jaxrnn.Elman(TOKENS, HIDDEN, activation=jax.nn.relu, recurrent_init=Identity(1.2))
CLIPS = {
    "not clipped": optax.identity(),
    "clipped to norm 1": optax.clip_by_global_norm(1.0),
    "each number clipped to ±1": optax.clip(1.0),  # as the fifth notebook clips
}


@dataclasses.dataclass(frozen=True, repr=False)
class Nudged(jaxrnn.Cell):
    """A cell whose carry gets something added at every instant, before it is handed on.

        s_t = step(s_{t−1}, x_t) + nudge_t

    The derivative of a loss with respect to nudge_k, zero, is ∂E/∂s_k: all that reaches instant k
    from later ones.
    """

    cell: jaxrnn.Cell

    @property
    def input_size(self):
        """That of the cell."""
        return self.cell.input_size

    def init(self, key):
        """The cell's parameters."""
        return self.cell.init(key)

    def initial_carry(self, batch_shape=()):
        """The cell's carry."""
        return self.cell.initial_carry(batch_shape)

    def project(self, params, xs):
        """The cell's drives beside the nudges."""
        xs, nudges = xs
        return self.cell.project(params, xs), nudges

    def step(self, params, carry, drive):
        """One instant of the cell, then the nudge."""
        drive, nudge = drive
        carry, _ = self.cell.step(params, carry, drive)
        carry = jax.tree.map(jnp.add, carry, nudge)
        return carry, carry.h


def network(cell):
    """From tokens to the four symbols."""
    return jaxrnn.stack(jaxrnn.OneHot(TOKENS), cell, jaxrnn.Linear(HIDDEN, SYMBOLS))


def recall(key, rows: int):
    """A batch of the task: tokens [LENGTH, rows], and the symbols that came first, [rows]."""
    symbol_key, noise_key = jax.random.split(key)
    symbols = jax.random.randint(symbol_key, (1, rows), 0, SYMBOLS)
    noise = jax.random.randint(noise_key, (LENGTH - 2, rows), SYMBOLS, SYMBOLS + NOISE)
    question = jnp.full((1, rows), TOKENS - 1)
    return jnp.concatenate([symbols, noise, question]), symbols[0]


def train(cell, optimizer, updates: int, seed: int):
    """The parameters before and after training, and the loss of every update."""
    layer = network(cell)

    def loss_fn(params, carry, key):
        tokens, symbols = recall(key, rows=32)
        _, logits = jaxrnn.unroll(layer, params, tokens, fold=jaxrnn.folds.bptt)
        return cross_entropy(logits[-1], symbols), carry

    params_key, data_key = jax.random.split(jax.random.key(seed))
    before = jax.jit(layer.init)(params_key)
    state, history = run_epochs(
        make_update(loss_fn, optimizer),
        init_state(before, optimizer),
        batches=jax.random.split(data_key, updates),
        epochs=1,
    )
    return before, state.params, np.asarray(history.metrics.loss[0])


@functools.partial(jax.jit, static_argnames="cell")
def reach(cell, params, tokens, symbol) -> jax.Array:
    """‖∂m/∂s_k‖ for every instant k, [time]; s is all of the carry, of an LSTM both h and c.

    m is how far the logit of the right symbol lies above the others, E = ln(1 + e⁻ᵐ). So ∂E/∂s_k is
    ∂m/∂s_k times a number that is the same for every k, and zero in float32 once all is learned.
    """
    _, cell_params, read_out = params.layers
    xs = jaxrnn.OneHot(TOKENS).map((), tokens)
    carry = cell.start(cell_params)
    nudges = jax.tree.map(lambda leaf: jnp.zeros((len(tokens), *leaf.shape)), carry)

    def margin(nudges):
        _, hs = jaxrnn.folds.scan(Nudged(cell), cell_params, carry, (xs, nudges))
        logits = hs[-1] @ read_out.kernel + read_out.bias
        others = jnp.where(jnp.arange(SYMBOLS) == symbol, -jnp.inf, logits)
        return logits[symbol] - jax.nn.logsumexp(others)

    gradients = jax.tree.leaves(jax.grad(margin)(nudges))
    return jnp.sqrt(sum(jnp.square(leaf).sum(axis=-1) for leaf in gradients))


def by_distance(cell, params, seed: int) -> np.ndarray:
    """‖∂E_T/∂s_k‖ ÷ ‖∂E_T/∂s_T‖ by the distance T − k; the median of 64 sequences."""
    tokens, symbols = recall(jax.random.key(seed), rows=64)
    of_all = jax.vmap(reach, in_axes=(None, None, 1, 0))
    norms = np.asarray(of_all(cell, params, tokens, symbols), np.float64)
    return np.median(norms / norms[:, -1:], axis=0)[::-1]


def main(updates: int = 500, seed: int = 0, picture: Path = Path("vanishing.png")) -> None:
    """Measure how far back derivatives reach, before and after training, and make them explode.

    Args:
        updates: Training steps of each network, 32 new sequences each.
        seed: Seed of the initial weights and of the sequences.
        picture: Where to draw.
    """
    show.check(picture, updates=updates)
    print(f"‖∂E_T/∂s_k‖ ÷ ‖∂E_T/∂s_T‖ by the distance T − k; then {updates} updates with Adam\n")
    rows, reaches, recalled = [], {}, {}
    for name, cell in CELLS.items():
        before, after, losses = train(cell, adam(2e-3), updates, seed)
        reaches[name] = [by_distance(cell, params, seed + 1) for params in (before, after)]
        ends = [
            f"{ratios[distance]:.0e}" for ratios in reaches[name] for distance in (10, LENGTH - 1)
        ]
        loss = losses[-20:].mean()
        recalled[name] = max(0.0, bits(np.log(SYMBOLS) - loss))
        rows.append((name, *ends[:2], f"{loss:.3f}", f"{recalled[name]:.2f} of 2 bits", *ends[2:]))
    show.table(
        ("cell", "before: 10 back", "29 back", "loss of the last 20", "recalled")
        + ("after: 10 back", "29 back"),
        rows,
    )
    print("relu and a recurrent kernel of 1.2 · I, SGD 0.01; loss by update\n")
    exploding = {
        name: train(EXPLODING, optax.chain(clip, optax.sgd(0.01)), updates, seed)[2]
        for name, clip in CLIPS.items()
    }
    shown = [update for update in (0, 1, 10, 100, 200, 499) if update < updates]
    show.table(
        ("gradient", *map(str, shown)),
        [
            (name, *(f"{losses[update]:.3g}" for update in shown))
            for name, losses in exploding.items()
        ],
    )
    show.picture(picture, (11, 3.9), lambda figure: draw(figure, reaches, exploding))
    claims = {}
    for name, reached in reaches.items():
        if name in LASTING:
            claims[f"{name}: enough comes back, and it recalls"] = recalled[name] > 0.9
        else:
            claims[f"{name}: a few millionths come back"] = reached[0][LENGTH - 1] < 1e-5
            claims[f"{name}: it learns nothing"] = recalled[name] < 0.1
    unclipped, *clipped = (losses[-1] for losses in exploding.values())
    claims["derivatives explode with 1.2 · I"] = not np.isfinite(unclipped)
    claims["clipped ones train"] = max(clipped) < np.log(SYMBOLS) / 2
    show.lesson(__doc__, claims)


def draw(figure, reaches, exploding):
    """Derivatives by distance, before and after training; and losses with and without clipping."""
    *panels, right = figure.subplots(1, 3)
    colours = (show.ORANGE, show.PINK, show.SKY, show.BLUE, show.GREEN)
    for place, (axes, title) in enumerate(zip(panels, ("Before training", "After"), strict=True)):
        for (name, ratios), colour in zip(reaches.items(), colours, strict=True):
            axes.semilogy(ratios[place], color=colour, label=name)
        axes.set(title=title, xlabel="distance T − k", ylim=(1e-9, 1e3))
    panels[0].set_ylabel("‖∂E_T/∂s_k‖ ÷ ‖∂E_T/∂s_T‖")
    panels[0].legend(loc="lower left", fontsize=8)
    colours = (show.ORANGE, show.BLUE, show.GREEN)
    for (name, losses), colour in zip(exploding.items(), colours, strict=True):
        finite = np.flatnonzero(np.isfinite(losses))
        right.semilogy(finite, np.maximum(losses[finite], 1e-5), color=colour, label=name)
        if len(finite) < len(losses):
            last = finite[-1]
            right.plot(last, losses[last], "X", color=colour, markersize=9)
            right.annotate(
                "not a number", (last, losses[last]), (25, -2), textcoords="offset points"
            )
    right.set(title="Exploding: kernel 1.2 · I", xlabel="update", ylabel="loss", ylim=(5e-6, 1e7))
    right.legend(loc="upper right", fontsize=8)


if __name__ == "__main__":
    command_line.run(main)
