"""Modules of torch through our converter: values, last state and gradients, and the way back."""

import functools
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like
from rows import QUICKLY

import jaxrnn
from jaxrnn.errors import MissingExtraError
from jaxrnn.interop.torch import (
    chain,
    export_carry,
    export_cell,
    export_module,
    export_state_dict,
    import_carry,
    import_module,
    import_state_dict,
)
from jaxrnn.networks.split_bias import joined

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
KINDS = {
    "tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": 2}),
    "gru": (nn.GRU, {}),
}
CELLS = {
    "tanh": (nn.RNNCell, {"nonlinearity": "tanh"}),
    "relu": (nn.RNNCell, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTMCell, {}),
    "gru": (nn.GRUCell, {}),
}
# Every pair of values of the three options meets.
HALF = [(1, False, True), (2, True, True), (2, False, False), (1, True, False)]


def made(kind, layers=1, both_ways=False, bias=True, dtype=torch.float64, **more):
    """A module with random weights, torch's own draw, for all of its parameters."""
    make, options = KINDS[kind]
    torch.manual_seed(0)
    own = {"bias": bias, "bidirectional": both_ways, "dtype": dtype} | options | more
    return make(3, 4, layers, **own)


def tensors(tree):
    return jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf), requires_grad=True), tree)


@functools.partial(jax.jit, static_argnums=0, compiler_options=QUICKLY)
def pull(run, params, xs, carry, probe):
    out, pullback = jax.vjp(run, params, xs, carry)
    return out, pullback(probe)


def assert_computes_as_torch(network, params, run, xs, carry, module, their_run):
    """Values, and the gradients of weights, inputs and state under a random probe."""
    probe = random_like(jax.eval_shape(run, params, xs, carry), seed=5)
    out, gradient = pull(run, params, xs, carry, probe)

    their_xs, start = tensors(xs), tensors(export_carry(network, carry))
    ys, end = their_run(their_xs, start)
    inner = zip(jax.tree.leaves((end, ys)), jax.tree.leaves(as_torch(network, probe)), strict=True)
    sum((output * number).sum() for output, number in inner).backward()

    assert_close(out, (import_carry(network, end), ys.detach().numpy()))
    # Gradients have the names and shapes of weights, and go through the converter as they do.
    cell = innermost(network)
    d_params = import_state_dict(
        {name: weight.grad for name, weight in module.named_parameters()},
        type(cell),
        activation=getattr(cell, "activation", None),
        two_biases=True,
    )[1]
    d_start = jax.tree.map(lambda tensor: tensor.grad, start)
    assert_close(gradient, (d_params, their_xs.grad.numpy(), import_carry(network, d_start)))


def as_torch(network, probe):
    carry, ys = probe
    return export_carry(network, carry), torch.tensor(np.asarray(ys))


def innermost(layer):
    match layer:
        case jaxrnn.Stack(layers=layers):
            return innermost(layers[0])
        case jaxrnn.Bidirectional(forward=forward):
            return innermost(forward)
        case jaxrnn.SplitBias(cell=cell):
            return cell
    return layer


@pytest.mark.parametrize(("layers", "both_ways", "bias"), HALF)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_torch(kind, layers, both_ways, bias):
    module = made(kind, layers, both_ways, bias, batch_first=bias)
    network, params = import_module(module, two_biases=True)
    # Time, batch and features are of one size, so that only numbers tell them apart.
    xs = random_like(jax.ShapeDtypeStruct((3, 3, 3), float), seed=1)
    carry = random_like(jax.eval_shape(lambda: network.initial_carry((3,))), seed=2)

    def run(params, xs, carry):
        return jaxrnn.unroll(network, params, xs, carry, time_axis=int(bias))

    assert_computes_as_torch(network, params, run, xs, carry, module, module)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_one_instant_of_a_cell_is_that_of_torch(kind, bias):
    make, options = CELLS[kind]
    module = make(3, 4, bias=bias, dtype=torch.float64, **options)
    network, params = import_module(module, two_biases=True)
    x = random_like(jax.ShapeDtypeStruct((2, 3), float), seed=3)
    carry = random_like(jax.eval_shape(lambda: network.initial_carry((2,))), seed=4)

    def run(params, x, carry):
        return network(params, carry, x)

    def their_run(x, state):
        state = module(x, state)
        return (state[0] if isinstance(state, tuple) else state), state

    assert_computes_as_torch(network, params, run, x, carry, module, their_run)


def test_the_comparison_sees_gates_exchanged():
    """A planted error: were the comparison blind to the order of gates, it would prove nothing."""
    module = made("gru")
    state_dict = module.state_dict()
    state_dict["weight_hh_l0"] = state_dict["weight_hh_l0"].roll(4, dims=0)
    xs = np.random.default_rng(1).standard_normal((3, 2, 3))
    theirs = module(torch.tensor(xs))[0].detach().numpy()
    for weights, same in [(module.state_dict(), True), (state_dict, False)]:
        network, params = import_state_dict(weights, jaxrnn.GRU)
        assert np.allclose(jaxrnn.unroll(network, params, xs)[1], theirs) is same


def every_module():
    """All options of all kinds, in every dtype."""
    grid = itertools.product(KINDS, (1, 2), (False, True), (True, False), DTYPES)
    for kind, layers, both_ways, bias, dtype in grid:
        more = {"dropout": 0.25} if layers == 2 and bias else {}
        yield made(kind, layers, both_ways, bias, dtype, **more)
    for (make, options), bias, dtype in itertools.product(CELLS.values(), (True, False), DTYPES):
        yield make(3, 4, bias=bias, dtype=dtype, **options)


def same_bits(a, b):
    return a.dtype == b.dtype and torch.equal(a, b)


def test_every_option_in_every_dtype_there_and_back_again():
    for module in every_module():
        state_dict = module.state_dict()
        export = export_cell if isinstance(module, nn.RNNCellBase) else export_module
        both, both_params = import_module(module, two_biases=True)
        one, params = import_module(module)
        assert {f"torch.{leaf.dtype}" for leaf in jax.tree.leaves([params, both_params])} == {
            str(weight.dtype) for weight in module.parameters()
        }
        assert jax.tree.all(jax.tree.map(np.array_equal, params, added_up(both_params)))

        back = export(both, both_params)
        assert repr(back) == repr(module)
        assert list(back.state_dict()) == list(state_dict)
        assert all(same_bits(back.state_dict()[name], state_dict[name]) for name in state_dict)
        sums = export(one, params).state_dict()
        assert all(same_bits(sums[name], state_dict[name]) for name in state_dict if "w" in name)
        for weights in (back.state_dict(), sums):
            assert not any(module.load_state_dict(weights, strict=True))
        if export is export_module:
            assert jax.tree.all(jax.tree.map(same_bits, export_state_dict(one, params), dict(sums)))


def added_up(params):
    """Of two biases their sum, where there are two."""

    def is_split(node):
        return isinstance(node, jaxrnn.networks.SplitBiasParams)

    return jax.tree.map(
        lambda node: joined(node) if is_split(node) else node, params, is_leaf=is_split
    )


def test_the_network_is_what_torch_was_told():
    module = nn.LSTM(3, 8, 3, dropout=0.25, bidirectional=True, proj_size=2)
    network, _ = import_module(module)
    assert network == jaxrnn.lstm_network(
        3, 8, 3, dropout=0.25, bidirectional=True, projection_size=2
    )
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        module = nn.GRU(3, 4, dropout=0.5)  # Which does nothing, so torch warns.
    assert import_module(module)[0] == jaxrnn.gru_network(3, 4)
    relu, _ = import_module(nn.RNNCell(3, 4, bias=False, nonlinearity="relu"))
    assert relu == jaxrnn.Elman(3, 4, activation=jax.nn.relu, use_bias=False)


def model():
    torch.manual_seed(1)
    return nn.ModuleList(
        [
            nn.Embedding(7, 3, padding_idx=0),
            nn.Dropout(0.5),
            nn.GRU(3, 4, 2, dropout=0.25, bidirectional=True),
            nn.LSTM(8, 4, proj_size=2),
            nn.Linear(2, 7, bias=False),
        ]
    ).double()


def test_a_chain_of_modules_runs_as_written_by_hand_and_loads_back():
    modules = model().eval()
    network, params = import_module(modules)
    assert network == jaxrnn.stack(
        jaxrnn.Embedding(7, 3),
        jaxrnn.Dropout(3, 0.5),
        jaxrnn.gru_network(3, 4, 2, dropout=0.25, bidirectional=True),
        jaxrnn.lstm_network(8, 4, projection_size=2),
        jaxrnn.Linear(2, 7, use_bias=False),
    )
    tokens = np.random.default_rng(0).integers(7, size=(4, 2))

    def run(modules):
        embed, _, gru, lstm, head = modules
        return head(lstm(gru(embed(torch.tensor(tokens)))[0])[0]).detach().numpy()

    theirs = run(modules)
    assert_close(jaxrnn.unroll(network, params, tokens)[1], theirs)

    again = export_module(network, params)
    assert_close(run(again.eval()), theirs)
    assert repr(again) == repr(modules).replace(", padding_idx=0", "")
    assert list(export_state_dict(network, params)) == list(modules.state_dict())
    weights = export_state_dict(network, params)
    assert not any(nn.Sequential(*model()).load_state_dict(weights, strict=True))
    by_hand = chain(*(import_module(each) for each in modules if type(each) is not nn.Dropout))
    assert_close(jaxrnn.unroll(*by_hand, tokens)[1], theirs)


def test_within_a_sequential_dropout_finds_its_width_and_identity_is_left_out():
    modules = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2))
    network, params = import_module(modules.double().eval())
    assert network == jaxrnn.stack(jaxrnn.Dropout(3, 0.5), jaxrnn.Linear(3, 4), jaxrnn.Linear(4, 2))
    xs = np.random.default_rng(0).standard_normal((4, 2, 3))
    assert_close(jaxrnn.unroll(network, params, xs)[1], modules(torch.tensor(xs)).detach().numpy())


LSTM, GRU = jaxrnn.LSTM, jaxrnn.GRU
NOISY = jaxrnn.StateDropout(LSTM(4, 4), 0.5)
ARRANGED = {
    "a cell": (LSTM(3, 4), "LSTM(3, 4)"),
    "alike": (jaxrnn.stack(LSTM(3, 4), LSTM(4, 4)), "LSTM(3, 4, num_layers=2)"),
    "both ways": (jaxrnn.bidirectional(GRU(3, 4)), "GRU(3, 4, bidirectional=True)"),
    "noise": (
        jaxrnn.stack(jaxrnn.WeightDrop(LSTM(3, 4), 0.5), jaxrnn.VariationalDropout(4, 0.1), NOISY),
        "LSTM(3, 4, num_layers=2)",
    ),
    "noise both ways": (jaxrnn.bidirectional(NOISY), "LSTM(4, 4, bidirectional=True)"),
    "unlike widths": (
        jaxrnn.stack(LSTM(3, 4), LSTM(4, 5)),
        "ModuleList( (0): LSTM(3, 4) (1): LSTM(4, 5) )",
    ),
    "unlike rates": (
        jaxrnn.stack(
            GRU(3, 4),
            jaxrnn.Dropout(4, 0.5),
            GRU(4, 4),
            jaxrnn.Dropout(4, 0.5),
            GRU(4, 4),
            jaxrnn.Dropout(4, 0.25),
            GRU(4, 4),
        ),
        (
            "ModuleList( (0): GRU(3, 4, num_layers=3, dropout=0.5) (1): Dropout(p=0.25) "
            "(2): GRU(4, 4) )"
        ),
    ),
    "a stack within a stack": (
        jaxrnn.stack(
            jaxrnn.stack(GRU(3, 4), GRU(4, 4)), GRU(4, 4), jaxrnn.stack(jaxrnn.stack(LSTM(4, 4)))
        ),
        (
            "ModuleList( (0): GRU(3, 4, num_layers=2) (1): GRU(4, 4) "
            "(2): ModuleList( (0): LSTM(4, 4) ) )"
        ),
    ),
    "noise alone in a stack": (
        jaxrnn.stack(jaxrnn.stack(jaxrnn.VariationalDropout(3, 0.5)), jaxrnn.Linear(3, 2)),
        "ModuleList( (0): Linear(in_features=3, out_features=2, bias=True) )",
    ),
    "one layer": (jaxrnn.Embedding(3, 2), "Embedding(3, 2)"),
    "no weights": (jaxrnn.Dropout(3, 0.5), "Dropout(p=0.5)"),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_networks_become_as_few_modules_as_they_can(name, key):
    network, expected = ARRANGED[name]
    params = network.init(key)
    module = export_module(network, params)
    assert " ".join(repr(module).replace(", inplace=False", "").split()) == expected
    assert list(module.state_dict()) == list(export_state_dict(network, params))
    assert all(weight.requires_grad and weight.is_leaf for weight in module.parameters())


def test_batch_first_is_the_callers_choice(key):
    network = jaxrnn.stack(jaxrnn.Linear(3, 3), GRU(3, 4))
    params = network.init(key)
    assert export_module(network, params, batch_first=True)[1].batch_first
    assert not export_module(network, params)[1].batch_first


def test_a_state_dict_of_a_larger_model_has_a_prefix():
    modules = nn.ModuleDict(
        {"encoder": nn.ModuleDict({"rnn": nn.RNN(3, 4, 2)}), "rnn2": made("gru")}
    )
    state_dict = modules.state_dict()
    options = {"activation": jnp.tanh, "dropout": 0.5}
    for prefix in ("encoder.rnn", "encoder.rnn."):
        network, params = import_state_dict(state_dict, jaxrnn.Elman, prefix=prefix, **options)
        assert network == jaxrnn.elman_network(3, 4, 2, activation=jnp.tanh, dropout=0.5)
        expected = import_module(modules["encoder"]["rnn"])[1]
        assert_close(jax.tree.leaves(params), jax.tree.leaves(expected))
    assert import_state_dict(state_dict, GRU, prefix="rnn2")[0] == jaxrnn.gru_network(3, 4)
    head = {f"head.{name}": weight for name, weight in nn.Linear(3, 2).state_dict().items()}
    assert import_state_dict(head, jaxrnn.Linear, prefix="head")[0] == jaxrnn.Linear(3, 2)
    table = nn.Embedding(5, 2).state_dict()
    assert import_state_dict(table, jaxrnn.Embedding)[0] == jaxrnn.Embedding(5, 2)


def test_what_is_copied_is_a_copy():
    """Torch trains in place, and JAX takes arrays to be constant."""
    module = made("lstm", dtype=torch.float32)
    array = module.weight_hh_l0.detach().numpy()  # The same memory.
    state_dict = module.state_dict() | {"weight_hh_l0": array}
    pairs = [import_module(module), import_state_dict(state_dict, LSTM)]
    network, params = pairs[0]
    back = export_module(network, params)
    before = jax.tree.map(np.array, params)
    with torch.no_grad():
        for weight in [*module.parameters(), *back.parameters()]:
            weight.fill_(7.0)
    for _, own in pairs:
        assert jax.tree.all(jax.tree.map(np.array_equal, own, before))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_carries_go_there_and_back_again(dtype):
    rng = np.random.default_rng(0)

    def state(*shape):
        return torch.tensor(rng.standard_normal(shape)).to(dtype)

    h, c = state(4, 5, 2), state(4, 5, 4)
    network = jaxrnn.lstm_network(3, 4, 2, bidirectional=True, projection_size=2)
    carry = import_carry(network, (h, c))
    assert np.array_equal(carry.layers[1].forward.c, np.asarray(c[2].double()))
    assert all(map(same_bits, export_carry(network, carry), (h, c)))
    deep = jaxrnn.stack(jaxrnn.Embedding(3, 3), jaxrnn.gru_network(3, 4, 2), jaxrnn.Linear(4, 3))
    h = state(2, 4)
    assert same_bits(export_carry(deep, import_carry(deep, h)), h)
    cell = jaxrnn.SplitBias(jaxrnn.LSTM(3, 4))
    pair = state(6, 5, 4), state(6, 5, 4)
    assert all(map(same_bits, export_carry(cell, import_carry(cell, pair)), pair))


def test_arrays_need_no_torch(monkeypatch):
    arrays = {name: weight.numpy() for name, weight in made("gru").state_dict().items()}
    network, params = import_module(made("gru"))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_close(import_state_dict(arrays, GRU)[1], params)
    for call in (
        lambda: import_module(None),
        lambda: export_state_dict(network, params),
        lambda: export_carry(network, network.initial_carry()),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[torch\]'"):
            call()
