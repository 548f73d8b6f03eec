"""The fifth notebook's equations, in NumPy, against the losses of `examples/vector.py`."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import notebook

import jaxrnn
from jaxrnn.text import pad_words
from jaxrnn.training import init_state, make_update, run_epochs

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import vector  # noqa: E402

HIDDEN = 30
GRADIENTS = [("naive", vector.NAIVE, False), ("full", vector.FULL, True)]
FOLDS = [*GRADIENTS, ("full", jaxrnn.folds.scan, True)]


@pytest.fixture(scope="module")
def vocabulary():
    return vector.vocabulary_of(vector.TEXT)


@pytest.fixture(scope="module")
def network(vocabulary):
    return vector.build(vocabulary, HIDDEN)


@pytest.fixture(scope="module")
def params(network):
    # Far from the notebook's 0.01, where tanh is a straight line and no weight makes a difference.
    params = network.init(jax.random.key(3))
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(treedef, [jnp.asarray(rng.normal(size=x.shape) / 3) for x in leaves])


def as_weights(params) -> notebook.Weights:
    _, cell, linear = params.layers
    return notebook.Weights(
        input_hidden=np.array(cell.input_kernel.T),
        hidden_hidden=np.array(cell.recurrent_kernel.T),
        hidden_output=np.array(linear.kernel.T),
        hidden_bias=np.array(cell.bias),
        output_bias=np.array(linear.bias),
    )


def numpy_gradient(weights, vocabulary, word, hop):
    inputs, targets = vocabulary.encode(word), vocabulary.encode(word[1:] + "\n")
    loss, gradient, _ = notebook.loss_and_gradient(
        weights, inputs, targets, np.zeros(HIDDEN), hop=hop
    )
    return loss, gradient


@pytest.mark.parametrize(("name", "fold", "hop"), FOLDS)
@pytest.mark.parametrize("word", ["vector", "ectoaxg", "\n"])
def test_the_gradient_of_a_word(name, fold, hop, word, network, params, vocabulary):
    expected_loss, expected = numpy_gradient(as_weights(params), vocabulary, word, hop)

    padded = pad_words(vocabulary, [word, "ectoaxg"])  # the padding must not be felt
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), padded)
    loss_and_gradient = jax.value_and_grad(vector.make_loss(network, fold), has_aux=True)
    (loss, _), gradient = loss_and_gradient(params, (), batch)

    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
    for ours, theirs in zip(as_weights(gradient), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_naive_and_full_gradients_differ(network, params, vocabulary):
    _, naive = numpy_gradient(as_weights(params), vocabulary, "vector", hop=False)
    _, full = numpy_gradient(as_weights(params), vocabulary, "vector", hop=True)
    assert np.abs(naive.hidden_hidden - full.hidden_hidden).max() > 0.01
    np.testing.assert_array_equal(naive.hidden_output, full.hidden_output)


@pytest.mark.parametrize(("name", "fold", "hop"), GRADIENTS)
def test_training_follows_the_notebooks_loop(name, fold, hop, network, params, vocabulary):
    """SGD after every word, the full gradient clipped to ±1 number by number, no division."""
    epochs = 30
    weights, expected = as_weights(params), []
    for _ in range(epochs):
        losses = []
        for word in vector.TEXT:
            loss, gradient = numpy_gradient(weights, vocabulary, word, hop)
            losses.append(loss)
            for weight, derivative in zip(weights, gradient, strict=True):
                weight -= 0.1 * (np.clip(derivative, -1, 1) if hop else derivative)
        expected.append(np.mean(losses))

    optimizer = vector.make_optimizer(name)
    update = make_update(vector.make_loss(network, fold), optimizer)
    words = jax.tree.map(jnp.asarray, pad_words(vocabulary, vector.TEXT))
    _, history = run_epochs(update, init_state(params, optimizer), words, epochs)
    np.testing.assert_allclose(history.metrics.loss.mean(axis=1), expected, rtol=1e-9)


@pytest.mark.parametrize(("name", "hop"), [("naive", False), ("full", True)])
def test_the_derivatives_told_in_the_example(name, hop, network, params, vocabulary):
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), pad_words(vocabulary, ["vector"]))
    one_hot = network.layers[0]
    xs, targets = one_hot.map((), batch.inputs), one_hot.map((), batch.targets)
    _, values, expected = vector.by_autodiff(params, xs, targets, hop=hop)
    told = vector.by_hand(params, xs, targets, values, hop=hop)
    assert told.keys() == {"dy", "dWhy", "dby", "dh", "dh_raw", "dWxh", "dWhh", "dbh"}
    for derivative, value in told.items():
        np.testing.assert_allclose(value, expected[derivative], atol=1e-12, err_msg=derivative)
