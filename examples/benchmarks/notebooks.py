"""Each notebook's training loop in Python against the same epochs in one compiled call.

    python examples/benchmarks/notebooks.py

Every measurement is a process of its own on one core, which suits matrices this small better than
two, and the contenders alternate. A contender trains once to warm up (ours compiles there) and is
then timed. Where the script trains networks from many initial weights in one call, that call is the
third contender. Needs PyTorch (the extra `test`).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from measure import confine

EXAMPLES = Path(__file__).parents[1]
sys.path.insert(0, str(EXAMPLES))


class Experiment(NamedTuple):
    """How long each contender is timed, and how long the notebook trains."""

    theirs: int  # epochs that PyTorch or NumPy is timed over
    ours: int  # epochs that ours is
    notebook: int  # epochs in the notebook
    together: int = 1  # networks that our script trains in one call


EXPERIMENTS = {
    "000 concat, MSE": Experiment(10, 200, 1000),
    "000 Elman, MSE": Experiment(10, 200, 1000),
    "000 concat, NLL": Experiment(10, 200, 1000),
    "001 neuralnet": Experiment(50, 1000, 101),
    "002 I think": Experiment(30, 300, 300, together=64),
    "003 sentence": Experiment(5, 100, 1000),
    "003 five windows": Experiment(5, 100, 1000),
    "004 text, full": Experiment(10, 500, 1001, together=20),
}


def notebook(name: str, epochs: int):
    """A function that trains as the notebook does: PyTorch, and NumPy for the fifth."""
    import hello_pytorch
    import i_think
    import neuralnet
    import notebook_loops
    import numpy as np
    import remember
    import torch
    import vector

    torch.manual_seed(0)
    torch.set_num_threads(1)
    size = hello_pytorch.VOCABULARY.size
    if name.startswith("000"):
        kind, loss = name[4:].split(", ")
        net = {"concat": notebook_loops.ConcatRNN, "Elman": notebook_loops.ElmanRNN}[kind]
        net = net(size, hello_pytorch.HIDDEN, size)
        return lambda: notebook_loops.hello_pytorch(net, hello_pytorch.TOKENS, size, epochs, loss)
    if name.startswith("001"):
        size = neuralnet.VOCABULARY.size
        net = notebook_loops.ReadOut(size, neuralnet.HIDDEN, size)
        return lambda: notebook_loops.sequence(net, *neuralnet.BATCH, size, epochs)
    if name.startswith("002"):
        net = torch.nn.LSTM(i_think.SIZE, i_think.SIZE, batch_first=True)
        return lambda: notebook_loops.sequence(net, *i_think.BATCH, i_think.SIZE, epochs)
    if name.startswith("003"):
        net = torch.nn.LSTM(size, remember.HIDDEN, num_layers=3)
        batch = 1 if name.endswith("sentence") else 5
        return lambda: notebook_loops.remember(net, remember.TOKENS, size, epochs, batch)
    vocabulary = vector.vocabulary_of(vector.TEXT)
    words = [(vocabulary.encode(w), vocabulary.encode(w[1:] + "\n")) for w in vector.TEXT]
    size, random = vocabulary.size, np.random.default_rng(0)
    shapes = (30, size), (30, 30), (size, 30)
    weights = [0.01 * random.normal(size=shape) for shape in shapes]
    weights += [np.zeros((30, 1)), np.zeros((size, 1))]
    return lambda: notebook_loops.vector(weights, words, size, epochs)


def ours(name: str, epochs: int, networks: int = 1):
    """A function that makes the very call of `run_epochs` that the example makes.

    Of 002 and 004, which train a whole ensemble in it, for any number of `networks`.
    """
    import hello_pytorch
    import i_think
    import jax
    import jax.numpy as jnp
    import neuralnet
    import remember
    import vector

    from jaxrnn.text import pad_words
    from jaxrnn.training import run_epochs

    calls = []

    def spy(*arguments, **named):
        calls.append((arguments, named))
        return run_epochs(*arguments, **named)

    for module in (hello_pytorch, neuralnet, i_think, remember, vector):
        module.run_epochs = spy

    key = jax.random.key(0)
    keys = jax.random.split(key, networks)
    if name.startswith("000"):
        (variant,) = (v for v in hello_pytorch.VARIANTS if v.name == name[4:])
        hello_pytorch.train(variant, variant.network.init(key), epochs)
    elif name.startswith("001"):
        neuralnet.train(neuralnet.NETWORK.init(key), epochs)
    elif name.startswith("002"):
        layer = i_think.network("LSTM")
        i_think.train(layer, jax.vmap(layer.init)(keys), epochs)
    elif name.startswith("003"):
        batch = remember.sentence() if name.endswith("sentence") else remember.windows()
        remember.train(remember.NETWORK.init(key), batch, epochs)
    else:
        vocabulary = vector.vocabulary_of(vector.TEXT)
        network = vector.build(vocabulary, 30)
        words = jax.tree.map(jnp.asarray, pad_words(vocabulary, vector.TEXT))
        params = jax.vmap(network.init)(keys)
        vector.train(vector.RUNS[-1], network, params, words, epochs)
    ((arguments, named),) = calls
    return lambda: jax.block_until_ready(run_epochs(*arguments, **named))


def measure(contender: str, name: str) -> None:
    """In a process of its own: print seconds per epoch and network, and those before the first."""
    confine(1)
    experiment = EXPERIMENTS[name]
    epochs = experiment.theirs if contender == "notebook" else experiment.ours
    networks = experiment.together if contender == "together" else 1
    begun = time.perf_counter()
    if contender == "notebook":
        train = notebook(name, epochs)
        train()
    else:
        train = ours(name, epochs, networks)
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    train()
    print(json.dumps([(time.perf_counter() - begun) / epochs / networks, first]))


def in_a_process(contender: str, name: str) -> tuple[float, float]:
    """Seconds per epoch and network, and seconds to import, compile and train once."""
    here = Path(__file__)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), str(here.parent)]),
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, str(here), "--contender", contender, "--experiment", name]
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def row(name: str, result: dict[str, float]) -> tuple[str, ...]:
    """A row of the table."""
    experiment, each = EXPERIMENTS[name], result.get("ratio_together")
    return (
        name,
        f"{1e3 * result['notebook']:.3g}",
        f"{1e3 * result['ours']:.3g}",
        f"{result['ratio']:.0f}",
        f"{each:.0f} ({experiment.together})" if each else "",
        f"{result['notebook'] * experiment.notebook:.1f} s",
        f"{result['first']:.1f} s",
    )


def draw(path: Path, results, machine: str) -> None:
    """One bar per experiment: how many times faster the compiled call is.

    A paler bar behind it, where many networks train in one call: how many times faster for each.
    """
    import show

    def bars(figure):
        axes = figure.subplots()
        names = list(results)[::-1]
        ratios = [results[name]["ratio"] for name in names]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        each = [results[name].get("ratio_together", 0) for name in names]
        axes.barh(names, each, color=show.BLUE, alpha=0.35, height=0.62)
        axes.barh(names, ratios, color=show.BLUE, height=0.62)
        for place, name in enumerate(names):
            theirs, mine = results[name]["notebook"], results[name]["ours"]
            label = f"{ratios[place]:.0f} ×   ({1e3 * theirs:.3g} → {1e3 * mine:.2g} ms)"
            if each[place]:
                label += f";  {EXPERIMENTS[name].together} at once: {each[place]:.0f} × each"
            end = max(ratios[place], each[place])
            axes.text(end * 1.06, place, label, va="center", size=8.5, bbox=box)
        axes.axvline(20, color="#333333", linestyle="--", linewidth=1, zorder=0)
        axes.set(
            xscale="log",
            xlim=(1, max(ratios) * 16),
            title="An epoch in one compiled call against the notebook's Python loop",
            xlabel=f"times faster   ({machine})",
        )
        axes.grid(visible=False, axis="y")

    show.picture(path, (7.6, 3.7), bars)


def main() -> None:
    """Measure everything, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes per contender")
    parser.add_argument("--picture", type=Path, default=Path("notebooks.png"))
    parser.add_argument("--experiment", choices=EXPERIMENTS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--contender", choices=("notebook", "ours", "together"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.contender:
        measure(given.contender, given.experiment)
        return

    import show

    results = {}
    for name, experiment in EXPERIMENTS.items():
        runs = {"notebook": [], "ours": []}
        if experiment.together > 1:
            runs["together"] = []
        for _ in range(given.repeats):
            for contender, seen in runs.items():
                seen.append(in_a_process(contender, name))
        medians = {c: statistics.median(seconds for seconds, _ in seen) for c, seen in runs.items()}
        results[name] = {
            **medians,
            "ratio": medians["notebook"] / medians["ours"],
            "first": statistics.median(first for _, first in runs["ours"]),
        }
        if "together" in medians:
            results[name]["ratio_together"] = medians["notebook"] / medians["together"]
    machine = f"one core, {platform.machine()}, float32"
    print(f"median of {given.repeats} processes each, alternating; {machine}\n")
    columns = ("experiment", "notebook ms/epoch", "ours ms/epoch", "times faster")
    columns += ("many at once: times faster each",)
    columns += ("notebook, all epochs", "ours, imports and compiling")
    show.table(columns, [row(name, result) for name, result in results.items()])
    draw(given.picture, results, machine)


if __name__ == "__main__":
    main()
