"""Ten steps of training agree with torch's, weight by weight: both biases, SGD and Adam."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparison import assert_close
from rows import QUICKLY

import jaxrnn
from jaxrnn.interop.torch import export_state_dict, import_module
from jaxrnn.training import two_biases

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

STEPS = 10
MODULES = {
    "RNN": lambda: nn.RNN(3, 4, nonlinearity="relu"),
    "LSTM": lambda: nn.LSTM(3, 4, 2, bidirectional=True),
    "projected": lambda: nn.LSTM(3, 4, proj_size=2),
    "GRU": lambda: nn.GRU(3, 4, 2),
    "GRU without bias": lambda: nn.GRU(3, 4, bias=False),
}
OPTIMIZERS = {
    "SGD": (
        lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9, nesterov=True),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "Adam": (
        lambda weights: torch.optim.Adam(weights, 0.02, betas=(0.8, 0.99), eps=1e-6),
        optax.adam(0.02, 0.8, 0.99, eps=1e-6),
    ),
}


def data(width):
    rng = np.random.default_rng(0)
    return rng.standard_normal((STEPS, 4, 2, 3)), rng.standard_normal((STEPS, 4, 2, width))


def torch_trains(module, optimizer, xs, targets):
    """The losses; weights change in place."""
    losses = []
    for x, target in zip(torch.tensor(xs), torch.tensor(targets), strict=True):
        optimizer.zero_grad()
        loss = ((module(x)[0] - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def we_train(network, params, optimizers, xs, targets):
    """The losses and the last parameters with each of the optimizers."""

    def loss(params, x, target):
        return jnp.mean((jaxrnn.unroll(network, params, x)[1] - target) ** 2)

    def train(params, optimizer):
        def step(state, batch):
            params, memory = state
            value, gradient = jax.value_and_grad(loss)(params, *batch)
            updates, memory = optimizer.update(gradient, memory, params)
            return (optax.apply_updates(params, updates), memory), value

        (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), (xs, targets))
        return losses, params

    run = jax.jit(
        lambda params: [train(params, optimizer) for optimizer in optimizers],
        compiler_options=QUICKLY,
    )
    return run(params)


def trained_by_torch(kind, name):
    torch.manual_seed(0)
    module = MODULES[kind]().double()
    before = copy.deepcopy(module)
    width = module.proj_size or module.hidden_size
    xs, targets = data(width * (1 + module.bidirectional))
    losses = torch_trains(module, OPTIMIZERS[name][0](module.parameters()), xs, targets)
    return before, module, (xs, targets), losses


@pytest.mark.parametrize("kind", MODULES)
def test_with_both_biases_every_weight_agrees_after_ten_steps(kind):
    theirs = {name: trained_by_torch(kind, name) for name in OPTIMIZERS}
    before, _, batches, _ = theirs["SGD"]
    network, params = import_module(before, two_biases=True)
    optimizers = [optimizer for _, optimizer in OPTIMIZERS.values()]
    ours = we_train(network, params, optimizers, *batches)
    for (losses, trained), (_, after, _, their_losses) in zip(ours, theirs.values(), strict=True):
        assert_close(losses, jnp.array(their_losses), tolerance=1e-10)
        weights = export_state_dict(network, trained)
        assert weights.keys() == after.state_dict().keys()
        for name, weight in after.state_dict().items():
            assert_close(weights[name].numpy(), weight.numpy(), tolerance=1e-10)


@pytest.mark.parametrize("kind", ["projected", "GRU"])
def test_one_bias_agrees_where_its_updates_are_doubled_and_not_otherwise(kind):
    before, after, batches, their_losses = trained_by_torch(kind, "Adam")
    network, params = import_module(before)
    adam = OPTIMIZERS["Adam"][1]
    doubled, single = we_train(network, params, [optax.chain(adam, two_biases()), adam], *batches)
    expected = import_module(after)[1]
    assert_close(doubled[0], jnp.array(their_losses), tolerance=1e-10)
    assert_close(doubled[1], expected, tolerance=1e-10)
    with pytest.raises(AssertionError, match="differs by"):
        assert_close(single[1], expected, tolerance=1e-3)
