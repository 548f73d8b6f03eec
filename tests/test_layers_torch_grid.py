"""The whole grid of torch.nn.RNN, LSTM and GRU as oracle: values and gradients, packed or not."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparison import assert_close, random_like
from jax.experimental import rnn as jax_rnn
from rows import QUICKLY

import jaxrnn
from jaxrnn.folds import bptt, scan

TIME, ROWS, INPUT, HIDDEN = 4, 3, 3, 4
LENGTHS = [2, 4, 1]

KINDS = {
    "tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "projected": (torch.nn.LSTM, {"proj_size": 2}),
    "gru": (torch.nn.GRU, {}),
}


def grid():
    """Every kind with every layer count, direction and bias; packed or not, in turn.

    What is packed knows nothing of biases, so that each half of the grid is met both ways.
    """
    for number, (kind, layers, both_ways, bias) in enumerate(
        itertools.product(KINDS, (1, 2), (False, True), (True, False))
    ):
        for packed in (True, False) if bias and layers == 2 else (bool(number % 2),):
            options = [kind, f"{layers}-layers", "both-ways" if both_ways else "one-way"]
            options += ["bias" if bias else "no-bias", "packed" if packed else "full"]
            yield pytest.param(kind, layers, both_ways, bias, packed, id="-".join(options))


def torch_module(kind, layers, both_ways, bias, seed):
    constructor, options = KINDS[kind]
    torch.manual_seed(seed)
    return constructor(
        INPUT, HIDDEN, layers, bias=bias, bidirectional=both_ways, dtype=torch.float64, **options
    )


def network_like(kind, layers, both_ways, bias):
    options = {"bidirectional": both_ways, "use_bias": bias}
    if kind in ("tanh", "relu"):
        activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[kind]
        return jaxrnn.elman_network(INPUT, HIDDEN, layers, activation=activation, **options)
    if kind == "gru":
        return jaxrnn.gru_network(INPUT, HIDDEN, layers, **options)
    size = KINDS[kind][1].get("proj_size")
    return jaxrnn.lstm_network(INPUT, HIDDEN, layers, projection_size=size, **options)


def params_from_torch(network, value_of):
    """Parameters of one of the networks above from torch's, by torch's names.

    Torch keeps kernels transposed and two biases, of which ours is the sum; of a GRU's n, whose
    recurrent bias stands behind the reset gate, both stay.
    """

    def of_cell(cell, suffix):
        def get(name):
            return np.asarray(value_of(f"{name}_{suffix}"))

        spec = jax.eval_shape(cell.init, jax.random.key(0))
        params = spec._replace(input_kernel=get("weight_ih").T, recurrent_kernel=get("weight_hh").T)
        if isinstance(cell, jaxrnn.ProjectedLSTM):
            params = params._replace(projection_kernel=get("weight_hr").T)
        if cell.use_bias:
            bias, recurrent_bias = get("bias_ih"), get("bias_hh")
            if isinstance(cell, jaxrnn.GRU):
                both = np.arange(3 * HIDDEN) < 2 * HIDDEN
                params = params._replace(recurrent_bias=recurrent_bias[2 * HIDDEN :])
                recurrent_bias = np.where(both, recurrent_bias, 0)
            params = params._replace(bias=bias + recurrent_bias)
        return jax.tree.map(jnp.asarray, params)

    return per_cell(network, of_cell)


def per_cell(network, make):
    """The tree of a network's parameters or carries, from `make(cell, torch's suffix)`."""
    params = jax.eval_shape(network.init, jax.random.key(0))
    made = []
    for number, (layer, own) in enumerate(zip(network.layers, params.layers, strict=True)):
        if isinstance(layer, jaxrnn.Bidirectional):
            own = own._replace(
                forward=make(layer.forward, f"l{number}"),
                backward=make(layer.backward, f"l{number}_reverse"),
            )
        else:
            own = make(layer, f"l{number}")
        made.append(own)
    return params._replace(layers=tuple(made))


def carry_from_torch(network, states):
    """Our carry from torch's `h` or `(h, c)`, each `[layers * directions, rows, width]`."""
    numbers = itertools.count()
    carry = jax.eval_shape(lambda: network.initial_carry((ROWS,)))

    def of_cell(cell):
        number = next(numbers)
        spec = jax.eval_shape(lambda: cell.initial_carry(()))
        return type(spec)(*(jnp.asarray(state[number]) for state in states))

    layers = []
    for layer, own in zip(network.layers, carry.layers, strict=True):
        if isinstance(layer, jaxrnn.Bidirectional):
            forward = of_cell(layer.forward)
            own = own._replace(forward=forward, backward=of_cell(layer.backward))
        else:
            own = of_cell(layer)
        layers.append(own)
    return carry._replace(layers=tuple(layers))


def states_of(carry, network):
    """Torch's order of our carry: h (and c) of every layer and direction."""
    cells = []
    for layer, own in zip(network.layers, carry.layers, strict=True):
        cells += [own.forward, own.backward] if isinstance(layer, jaxrnn.Bidirectional) else [own]
    return [np.stack(parts) for parts in zip(*cells, strict=True)]


def torch_values_and_gradients(module, xs, states, probes, packed):
    """Outputs `[ys, h_n, c_n …]`, and gradients by name of what the probes say."""
    xs = torch.tensor(xs, requires_grad=True)
    states = [torch.tensor(state, requires_grad=True) for state in states]
    hx = tuple(states) if len(states) == 2 else states[0]
    if packed:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(xs, LENGTHS, enforce_sorted=False)
        ys, last = module(sequence, hx)
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=TIME)
    else:
        ys, last = module(xs, hx)
    outputs = [ys, *(last if isinstance(last, tuple) else (last,))]
    inner = sum(
        (out * torch.tensor(probe)).sum() for out, probe in zip(outputs, probes, strict=True)
    )
    inner.backward()
    by_name = {name: weight.grad.numpy() for name, weight in module.named_parameters()}
    return (
        [out.detach().numpy() for out in outputs],
        (by_name, xs.grad.numpy(), [state.grad.numpy() for state in states]),
    )


@functools.partial(jax.jit, static_argnames=("network", "fold"), compiler_options=QUICKLY)
def pull(network, params, xs, carry, lengths, probe, fold):
    def values(params, xs, carry):
        return jaxrnn.unroll(network, params, xs, carry, lengths=lengths, fold=fold)

    out, pullback = jax.vjp(values, params, xs, carry)
    return out, pullback(probe)


@pytest.mark.parametrize(("kind", "layers", "both_ways", "bias", "packed"), [*grid()])
def test_values_and_gradients_are_those_of_torch(kind, layers, both_ways, bias, packed):
    seed = sum(map(ord, f"{kind}{layers}{both_ways}{bias}"))
    rng = np.random.default_rng(seed)
    module = torch_module(kind, layers, both_ways, bias, seed)
    network = network_like(kind, layers, both_ways, bias)
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    params = params_from_torch(network, weights.__getitem__)

    xs = rng.standard_normal((TIME, ROWS, INPUT))
    directions = 2 if both_ways else 1
    widths = [KINDS[kind][1].get("proj_size", HIDDEN)]
    widths += [HIDDEN] if kind in ("lstm", "projected") else []
    states = [rng.standard_normal((layers * directions, ROWS, width)) for width in widths]
    probes = [rng.standard_normal((TIME, ROWS, network.output_size))]
    probes += [rng.standard_normal(state.shape) for state in states]
    expected, (d_weights, d_xs, d_states) = torch_values_and_gradients(
        module, xs, states, probes, packed
    )

    carry = carry_from_torch(network, states)
    probe = carry_from_torch(network, probes[1:]), jnp.asarray(probes[0])
    lengths = jnp.array(LENGTHS) if packed else None
    # By JAX's derivative or by hand, in turn.
    fold = (scan, bptt)[(layers + bias) % 2]
    out, gradients = pull(network, params, jnp.asarray(xs), carry, lengths, probe, fold)

    assert_close([out[1], *states_of(out[0], network)], expected)
    if packed:
        assert (np.asarray(out[1])[np.arange(TIME)[:, None] >= LENGTHS] == 0).all()
    # The two biases see the same gradient, and ours is that of either.
    d_params = params_from_torch(network, lambda name: d_weights[name])
    if bias:
        d_params = halved_biases(network, d_params)
    assert_close(gradients, (d_params, jnp.asarray(d_xs), carry_from_torch(network, d_states)))


def halved_biases(network, d_params):
    """`params_from_torch` added the gradients of two biases that are the same."""

    def halve(node):
        if isinstance(node, jaxrnn.GRUParams):
            return node._replace(bias=node.bias.at[: 2 * HIDDEN].divide(2))
        return node._replace(bias=node.bias / 2)

    return jax.tree.map(halve, d_params, is_leaf=lambda node: hasattr(node, "input_kernel"))


def test_the_comparison_sees_two_gates_exchanged():
    """A planted error: were the grid blind to the order of gates, it would prove nothing."""
    module = torch_module("lstm", 1, False, True, seed=1)
    network = network_like("lstm", 1, False, True)
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    weights["weight_hh_l0"] = np.roll(weights["weight_hh_l0"], HIDDEN, axis=0)
    params = params_from_torch(network, weights.__getitem__)
    xs = np.random.default_rng(1).standard_normal((TIME, ROWS, INPUT))
    _, ys = jaxrnn.unroll(network, params, jnp.asarray(xs))
    with pytest.raises(AssertionError, match="differs by"), torch.no_grad():
        assert_close([ys], [module(torch.tensor(xs))[0].numpy()])


@pytest.mark.parametrize("kind", ["tanh", "lstm", "gru"])
def test_batch_first_and_unbatched_as_in_torch(kind):
    module = torch_module(kind, 2, True, True, seed=2)
    module.batch_first = True
    network = network_like(kind, 2, True, True)
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    params = params_from_torch(network, weights.__getitem__)
    xs = np.random.default_rng(3).standard_normal((ROWS, TIME, INPUT))
    with torch.no_grad():
        batch, alone = module(torch.tensor(xs))[0].numpy(), module(torch.tensor(xs[0]))[0].numpy()
    assert_close(jaxrnn.unroll(network, params, jnp.asarray(xs), time_axis=1)[1], batch)
    assert_close(jaxrnn.unroll(network, params, jnp.asarray(xs[0]))[1], alone)


def test_dropout_stands_after_every_layer_but_the_last_as_in_torch():
    """Rate 1 shows where: everything that passes between layers is gone, and nothing else."""
    module = torch_module("gru", 3, False, True, seed=4)
    module.dropout = 1.0
    network = jaxrnn.gru_network(INPUT, HIDDEN, 3, dropout=1.0)
    assert [type(layer).__name__ for layer in network.layers] == (
        ["GRU", "Dropout", "GRU", "Dropout", "GRU"]
    )
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    plain = params_from_torch(network_like("gru", 3, False, True), weights.__getitem__)
    first, second, third = plain.layers
    params = plain._replace(layers=(first, (), second, (), third))
    xs = np.random.default_rng(5).standard_normal((TIME, ROWS, INPUT))
    with torch.no_grad():
        expected, last = module.train()(torch.tensor(xs))
        evaluated, _ = module.eval()(torch.tensor(xs))
    carry, ys = jaxrnn.unroll(network, params, jnp.asarray(xs), key=jax.random.key(0))
    assert_close(ys, expected.numpy())
    carries = [carry.layers[number].h for number in (0, 2, 4)]
    assert_close(carries, list(last.numpy()))
    assert_close(jaxrnn.unroll(network, params, jnp.asarray(xs))[1], evaluated.numpy())


# jax.experimental.rnn: the reference implementation of its LSTM on cuDNN.


def test_ragged_stacks_are_those_of_lstm_ref():
    """Two layers, both ways, with lengths: values, last carries and gradients."""
    layers, rows, lengths = 2, ROWS, jnp.array(LENGTHS)
    rng = np.random.default_rng(6)
    module = torch_module("lstm", layers, True, True, seed=7)
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    network = network_like("lstm", layers, True, True)
    xs = jnp.asarray(rng.standard_normal((rows, TIME, INPUT)))
    h_0, c_0 = (jnp.asarray(rng.standard_normal((layers * 2, rows, HIDDEN))) for _ in range(2))

    def packed(weights):
        """Their parameters: lists by layer and direction, flattened as cuDNN wants them."""
        suffixes = [f"l{n}{way}" for n in range(layers) for way in ("", "_reverse")]
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        return tuple({i: weights[f"{name}_{s}"] for i, s in enumerate(suffixes)} for name in names)

    def theirs(weights, xs, h_0, c_0):
        ys, h_n, c_n = jax_rnn.lstm_ref(
            xs,
            h_0,
            c_0,
            *packed(weights),
            lengths.astype(jnp.int32),
            *(INPUT, HIDDEN, layers, 0.0, True),  # The last two: no dropout, both ways.
        )
        return ys, h_n, c_n

    def ours(params, xs, carry):
        return jaxrnn.unroll(network, params, xs, carry, lengths=lengths, time_axis=1)

    weights = jax.tree.map(jnp.asarray, weights)
    expected, their_pullback = jax.vjp(theirs, weights, xs, h_0, c_0)
    params = params_from_torch(network, weights.__getitem__)
    out, our_pullback = jax.vjp(ours, params, xs, carry_from_torch(network, (h_0, c_0)))
    assert_close([out[1], *states_of(out[0], network)], list(expected))

    probes = random_like(expected, seed=8)
    d_weights, d_xs, d_h, d_c = their_pullback(probes)
    d_params = halved_biases(network, params_from_torch(network, d_weights.__getitem__))
    assert_close(
        our_pullback((carry_from_torch(network, probes[1:]), probes[0])),
        (d_params, d_xs, carry_from_torch(network, (d_h, d_c))),
    )
