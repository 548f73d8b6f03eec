"""One contender of notebooks.py on one experiment, in a process of its own.

python measure_notebook.py CONTENDER EXPERIMENT

CONTENDER is notebook, ours or together. Prints seconds per epoch and network, and those before the
first timed epoch, as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

from measure import confine

sys.path.insert(0, str(Path(__file__).parents[1]))


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


def main() -> None:
    """Train once to warm up, which compiles ours, and once with a clock."""
    contender, name = sys.argv[1:]
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


if __name__ == "__main__":
    main()
