"""The losses of the examples are PyTorch's, epoch by epoch, over the first hundred.

PyTorch runs the notebooks' own loops (`examples/benchmarks/notebook_loops.py`), with `nn.RNN` and
`nn.LSTM` where they have them, and with the weights of the example. Where PyTorch adds two biases,
one of them gets ours and the other zeros; the examples train with `two_biases`, because a sum of
two moves twice as far as one.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "benchmarks")]
import hello_pytorch  # noqa: E402
import i_think  # noqa: E402
import neuralnet  # noqa: E402
import notebook_loops  # noqa: E402
import remember  # noqa: E402
import vector  # noqa: E402

from jaxrnn.text import pad_words  # noqa: E402

EPOCHS = 100
TOLERANCE = 1e-9


@pytest.fixture(autouse=True)
def float64_on_one_thread():
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # the matrices are tiny: threads would only wait for each other
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)


def fill(module, **weights):
    """Put numbers into a PyTorch module, and zeros where none are given."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = weights.pop(name, None)
            if value is None:
                parameter.zero_()
            else:
                parameter.copy_(torch.tensor(np.array(value)))
    assert not weights, weights.keys()
    return module


def recurrent(params, layer=0, prefix=""):
    """An Elman or LSTM layer under PyTorch's names; gates stand in the same order, i f g o."""
    return {
        f"{prefix}weight_ih_l{layer}": params.input_kernel.T,
        f"{prefix}weight_hh_l{layer}": params.recurrent_kernel.T,
        f"{prefix}bias_ih_l{layer}": params.bias,
    }


def linear(params, name):
    return {f"{name}.weight": params.kernel.T, f"{name}.bias": params.bias}


def assert_same(ours, theirs):
    assert ours.shape == (len(theirs),)
    assert ours[-1] < 0.9 * ours[0]  # something was learned
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE)


@pytest.mark.parametrize("variant", hello_pytorch.VARIANTS, ids=lambda variant: variant.name)
def test_hello_pytorch(variant, key):
    params = variant.network.init(key)
    size, hidden = hello_pytorch.VOCABULARY.size, hello_pytorch.HIDDEN
    if variant.network == hello_pytorch.CONCAT:
        net = fill(
            notebook_loops.ConcatRNN(size, hidden, size),
            **{"i2h.weight": params.hidden_kernel.T, "i2h.bias": params.hidden_bias},
            **{"i2o.weight": params.output_kernel.T, "i2o.bias": params.output_bias},
        )
    else:
        cell, read_out = params.layers
        net = fill(
            notebook_loops.ElmanRNN(size, hidden, size),
            **{"i2h.weight": cell.input_kernel.T, "i2h.bias": cell.bias},
            **{"h2h.weight": cell.recurrent_kernel.T},
            **linear(read_out, "i2o"),
        )
    _, losses = hello_pytorch.train(variant, params, EPOCHS)
    expected = notebook_loops.hello_pytorch(net, hello_pytorch.TOKENS, size, EPOCHS, variant.loss)
    assert_same(losses.sum(axis=1), expected)


def test_neuralnet(key):
    params = neuralnet.NETWORK.init(key)
    _, cell, read_out = params.layers
    size = neuralnet.VOCABULARY.size
    net = fill(
        notebook_loops.ReadOut(size, neuralnet.HIDDEN, size),
        **recurrent(cell, prefix="rnn."),
        **linear(read_out, "fc"),
    )
    losses, _ = neuralnet.train(params, EPOCHS)
    assert_same(losses, notebook_loops.sequence(net, *neuralnet.BATCH, size, EPOCHS))


def test_i_think(key):
    """Three ensemble members, each beside a PyTorch module of its own."""
    network = i_think.network("LSTM")
    params = jax.vmap(network.init)(jax.random.split(key, 3))
    losses = i_think.train(network, params, EPOCHS).losses
    for member in range(3):
        _, cell = jax.tree.map(lambda leaf: leaf[member], params).layers  # noqa: B023
        net = torch.nn.LSTM(i_think.SIZE, i_think.SIZE, batch_first=True)
        fill(net, **recurrent(cell))
        expected = notebook_loops.sequence(net, *i_think.BATCH, i_think.SIZE, EPOCHS)
        assert_same(losses[:, member], expected)


@pytest.mark.parametrize("windows", [1, 5])
def test_remember(windows, key):
    params = remember.NETWORK.init(key)
    size = remember.VOCABULARY.size
    net = torch.nn.LSTM(size, remember.HIDDEN, num_layers=3)
    layers = enumerate(params.layers[1:])
    fill(net, **{k: v for layer, cell in layers for k, v in recurrent(cell, layer).items()})
    batch = remember.sentence() if windows == 1 else remember.windows()
    _, losses = remember.train(params, batch, EPOCHS)
    assert_same(losses, notebook_loops.remember(net, remember.TOKENS, size, EPOCHS, windows))


def test_vector(key):
    """The fifth notebook is NumPy, and so is its loop; the gradient has tests of its own."""
    run = vector.RUNS[-1]
    vocabulary = vector.vocabulary_of(run.words)
    network = vector.build(vocabulary, run.hidden)
    params = jax.vmap(network.init)(key[None])
    _, cell, read_out = jax.tree.map(lambda leaf: np.array(leaf[0]), params).layers
    weights = [cell.input_kernel.T, cell.recurrent_kernel.T, read_out.kernel.T]
    weights += [cell.bias[:, None], read_out.bias[:, None]]
    words = [(vocabulary.encode(word), vocabulary.encode(word[1:] + "\n")) for word in run.words]
    expected = notebook_loops.vector(weights, words, vocabulary.size, 20)
    _, losses = vector.train(run, network, params, pad_words(vocabulary, run.words), 20)
    np.testing.assert_allclose(losses[:, 0], expected, rtol=TOLERANCE)
