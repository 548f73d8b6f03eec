"""Our cells and networks within Flax: what they compute there is what `unroll` computes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparison import assert_close, random_like
from flax import linen as nn
from flax import nnx

import jaxrnn
from jaxrnn.cell import named_leaves
from jaxrnn.interop.flax import LinenCell, LinenNetwork, NnxCell, NnxNetwork, import_carry

BATCH, TIME, INPUT = 3, 6, 3
XS = jnp.asarray(np.random.default_rng(0).standard_normal((BATCH, TIME, INPUT)))
LENGTHS = np.array([TIME, 2, 1])
VALID = (np.arange(TIME) < LENGTHS[:, None])[..., None]
CELLS = {
    "lstm": jaxrnn.LSTM(INPUT, 4),
    "reset before": jaxrnn.ResetBeforeGRU(INPUT, 4),
    "projected": jaxrnn.ProjectedLSTM(INPUT, 5, 2),
    "wrapped": jaxrnn.Zoneout(jaxrnn.LSTM(INPUT, 4), 0.1, 0.2),
}


def by_name(params):
    return dict(named_leaves(params))


def random_params(layer):
    return random_like(jax.eval_shape(layer.init, jax.random.key(0)), 1, 0.5)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_in_an_rnn_of_linen(name):
    cell = CELLS[name]
    params = random_params(cell)
    for network, options in (
        (cell, {}),
        (jaxrnn.reverse(cell), {"reverse": True, "keep_order": True}),
    ):
        module = nn.RNN(LinenCell(cell), return_carry=True, **options)

        def theirs(params, module=module):
            variables = {"params": {"cell": by_name(params)}}
            carry, ys = module.apply(variables, XS, seq_lengths=LENGTHS)
            return import_carry(cell, carry), jnp.where(VALID, ys, 0)

        def ours(params, network=network):
            return jaxrnn.unroll(network, params, XS, lengths=LENGTHS, time_axis=1)

        assert_close(theirs(params), ours(params))
        if name == "lstm" and not options:

            def loss(function):
                return lambda params: (function(params)[1] ** 2).sum()

            assert_close(jax.grad(loss(theirs))(params), jax.grad(loss(ours))(params))


def test_cells_in_both_directions_of_linen():
    cells = jaxrnn.LSTM(INPUT, 4), jaxrnn.ResetBeforeGRU(INPUT, 2)
    module = nn.Bidirectional(*(nn.RNN(LinenCell(cell)) for cell in cells))
    network = jaxrnn.bidirectional(*cells)
    params = random_params(network)
    variables = {
        "forward_rnn": {"cell": by_name(params.forward)},
        "backward_rnn": {"cell": by_name(params.backward)},
    }
    drawn = jax.eval_shape(module.init, jax.random.key(0), XS)["params"]
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, variables)
    expected = jaxrnn.unroll(network, params, XS, time_axis=1)[1]
    assert_close(module.apply({"params": variables}, XS), expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_in_an_rnn_of_nnx(name):
    cell = CELLS[name]
    params = random_params(cell)
    module = nnx.RNN(NnxCell(cell, params=params), return_carry=True)
    assert_close(module.cell.params, params, tolerance=0)
    carry, ys = module(XS, seq_lengths=LENGTHS)
    expected = jaxrnn.unroll(cell, params, XS, lengths=LENGTHS, time_axis=1)
    assert_close((import_carry(cell, carry), jnp.where(VALID, ys, 0)), expected)


def test_networks_are_modules_that_train_and_have_noise():
    network = jaxrnn.lstm_network(INPUT, 4, num_layers=2, bidirectional=True, dropout=0.5)
    params = random_params(network)
    expected = jaxrnn.unroll(network, params, XS, lengths=LENGTHS, time_axis=1)
    module = NnxNetwork(network, params=params, time_axis=1)
    assert_close(module(XS, lengths=LENGTHS, return_carry=True), expected)
    linen = LinenNetwork(network, time_axis=1)
    variables = {"params": by_name(params)}
    assert_close(linen.apply(variables, XS, lengths=LENGTHS, return_carry=True), expected)

    key = jax.random.key(3)
    noisy = linen.apply(variables, XS, rngs={"dropout": key})
    assert jnp.abs(noisy - linen.apply(variables, XS)).max() > 0.01
    assert jnp.abs(module(XS, rngs=nnx.Rngs(key)) - module(XS)).max() > 0.01

    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        gradient = nnx.grad(lambda module: (module(XS) ** 2).sum())(module)
        optimizer.update(module, gradient)

    step(module, optimizer)
    gradient = jax.grad(
        lambda params: (jaxrnn.unroll(network, params, XS, time_axis=1)[1] ** 2).sum()
    )(params)
    assert_close(module.params, jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient))


def test_what_does_not_fit_is_refused():
    cell = jaxrnn.GRU(INPUT, 4)
    rnn = nn.RNN(LinenCell(cell))
    for wrong, xs in (("x has shape", XS[..., :2]), ("inputs have dtype float32", XS.astype("f4"))):
        with pytest.raises((TypeError, ValueError), match=wrong):
            rnn.init(jax.random.key(0), xs)
    with pytest.raises(TypeError, match="give either rngs, to draw parameters from, or params"):
        NnxNetwork(cell)
    with pytest.raises(TypeError, match="got the class GRU; make one first"):
        NnxCell(jaxrnn.GRU, rngs=nnx.Rngs(0))
    both_ways = jaxrnn.bidirectional(cell)
    with pytest.raises(TypeError, match="looks ahead, so it has no single instant"):
        nn.RNN(LinenCell(both_ways)).init(jax.random.key(0), XS)
    with pytest.raises(TypeError, match="looks ahead, so it has no single instant"):
        nnx.RNN(NnxCell(both_ways, rngs=nnx.Rngs(0)))(XS)
