"""Layers of Flax through the converters, and back: values, last carries, gradients, dtypes."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like
from flax import linen as nn
from flax import nnx

import jaxrnn
from jaxrnn.cell import named_leaves
from jaxrnn.interop.flax import (
    export_carry,
    export_linen,
    export_nnx,
    import_carry,
    import_linen,
    import_nnx,
)

WIDE = {"param_dtype": jnp.float64}
BATCH, TIME, INPUT, TOKENS = 2, 5, 3, 7


def a_sequence(tokens=False, dtype=np.float64):
    rng = np.random.default_rng(3)
    if tokens:
        return jnp.asarray(rng.integers(TOKENS, size=(BATCH, TIME)))
    return jnp.asarray(rng.standard_normal((BATCH, TIME, INPUT)), dtype)


def assert_same_function(theirs, ours, *arguments):
    """Two functions of `(params, carry, xs)` to `(carry, ys)`: values and all gradients.

    Both take and give the containers of Flax, so the gradient with respect to parameters goes back
    through the converter, which is a function like any other.
    """
    probe = random_like(jax.eval_shape(theirs, *arguments), 11)

    @functools.partial(jax.jit, static_argnums=0)
    def values_and_gradients(function, *arguments):
        out, pull = jax.vjp(function, *arguments)
        return out, pull(probe)

    expected = values_and_gradients(theirs, *arguments)
    assert_close(values_and_gradients(ours, *arguments), expected)


# Linen. What the RNNs say of their direction, Bidirectional overrides.
SIMPLE = functools.partial(nn.SimpleCell, **WIDE)
LINEN = {
    "lstm": nn.RNN(nn.LSTMCell(4, **WIDE)),
    "optimized_lstm": nn.RNN(nn.OptimizedLSTMCell(4, **WIDE), unroll=2),
    "gru": nn.RNN(nn.GRUCell(4, **WIDE)),
    "simple": nn.RNN(SIMPLE(4)),
    "simple_relu": nn.RNN(SIMPLE(4, activation_fn=nn.relu)),
    "simple_residual": nn.RNN(SIMPLE(4, residual=True)),
    "reversed": nn.RNN(nn.LSTMCell(4, **WIDE), reverse=True, keep_order=True),
    "both_ways": nn.Bidirectional(nn.RNN(nn.LSTMCell(4, **WIDE)), nn.RNN(nn.GRUCell(2, **WIDE))),
    "sum_of_both": nn.Bidirectional(
        nn.RNN(nn.GRUCell(4, **WIDE), reverse=True),
        nn.RNN(SIMPLE(4), keep_order=True),
        merge_fn=operator.add,
    ),
}
CHAIN = nn.Sequential(
    [
        nn.Embed(TOKENS, INPUT, **WIDE),
        nn.RNN(nn.LSTMCell(4, **WIDE)),
        nn.Dense(3, use_bias=False, **WIDE),
        nn.Dropout(0.5, deterministic=True),
        nn.Bidirectional(nn.RNN(nn.GRUCell(2, **WIDE)), nn.RNN(nn.GRUCell(2, **WIDE))),
        nn.Dense(5, **WIDE),
    ]
)


def random_variables(module, xs):
    return random_like(jax.eval_shape(module.init, jax.random.key(0), xs), 5, 0.5)


@pytest.mark.parametrize("name", LINEN)
def test_layers_of_linen(name):
    module, xs = LINEN[name], a_sequence()
    variables = random_variables(module, xs)
    network = import_linen(module, variables).layer

    def theirs(variables, carry, xs):
        return module.apply(variables, xs, initial_carry=carry, return_carry=True)

    def ours(variables, carry, xs):
        params = import_linen(module, variables).params
        carry, ys = jaxrnn.unroll(network, params, xs, import_carry(network, carry), time_axis=1)
        return export_carry(carry), ys

    carry = random_like(export_carry(network.initial_carry((BATCH,))), 9)
    assert_same_function(theirs, ours, variables, carry, xs)


def test_a_chain_of_linen():
    tokens = a_sequence(tokens=True)
    variables = random_variables(CHAIN, tokens)
    network = import_linen(CHAIN, variables).layer
    assert network == jaxrnn.stack(
        jaxrnn.Embedding(TOKENS, INPUT),
        jaxrnn.LSTM(INPUT, 4),
        jaxrnn.Linear(4, 3, use_bias=False),
        jaxrnn.Dropout(3, rate=0.5),
        jaxrnn.bidirectional(jaxrnn.GRU(3, 2)),
        jaxrnn.Linear(4, 5),
    )

    def theirs(variables):
        return CHAIN.apply(variables, tokens)

    def ours(variables):
        return jaxrnn.unroll(network, import_linen(CHAIN, variables).params, tokens, time_axis=1)[1]

    assert_same_function(theirs, ours, variables)


def nnx_layers():
    options = {"rngs": nnx.Rngs(0), **WIDE}
    lstm = functools.partial(nnx.LSTMCell, **options)
    gru = functools.partial(nnx.GRUCell, **options)
    simple = functools.partial(nnx.SimpleCell, dtype=jnp.float64, **options)
    return {
        "lstm": nnx.RNN(lstm(INPUT, 4)),
        "optimized_lstm": nnx.RNN(nnx.OptimizedLSTMCell(INPUT, 4, **options), unroll=2),
        "gru": nnx.RNN(gru(INPUT, 4)),
        "simple": nnx.RNN(simple(INPUT, 4)),
        "simple_elu": nnx.RNN(simple(INPUT, 4, activation_fn=jax.nn.elu)),
        "simple_residual": nnx.RNN(simple(INPUT, 4, residual=True)),
        "reversed": nnx.RNN(gru(INPUT, 4), reverse=True, keep_order=True),
        "both_ways": nnx.Bidirectional(nnx.RNN(lstm(INPUT, 4)), nnx.RNN(gru(INPUT, 2))),
        "sum_of_both": nnx.Bidirectional(
            nnx.RNN(gru(INPUT, 4), reverse=True),
            nnx.RNN(simple(INPUT, 4)),
            merge_fn=operator.add,
        ),
    }


def taken_apart(module):
    """A module of nnx as a function of random parameters: `(rebuild, parameters)`."""
    graph, state, rest = nnx.split(module, nnx.Param, ...)

    def rebuild(state):
        # An RNN counts what it draws for carries, and must not do so in a variable from outside.
        return nnx.merge(graph, state, jax.tree.map(lambda leaf: leaf, rest))

    return rebuild, random_like(state, 5, 0.5)


@pytest.mark.parametrize("name", nnx_layers())
def test_layers_of_nnx(name):
    rebuild, state = taken_apart(nnx_layers()[name])
    network = import_nnx(rebuild(state)).layer

    def theirs(state, carry, xs):
        return rebuild(state)(xs, initial_carry=carry, return_carry=True)

    def ours(state, carry, xs):
        params = import_nnx(rebuild(state)).params
        carry, ys = jaxrnn.unroll(network, params, xs, import_carry(network, carry), time_axis=1)
        return export_carry(carry), ys

    carry = random_like(export_carry(network.initial_carry((BATCH,))), 9)
    assert_same_function(theirs, ours, state, carry, a_sequence())


def test_a_chain_of_nnx():
    options = {"rngs": nnx.Rngs(0), **WIDE}
    rebuild, state = taken_apart(
        nnx.Sequential(
            nnx.Embed(TOKENS, INPUT, **options),
            nnx.Dropout(0.5, deterministic=True),
            nnx.RNN(nnx.OptimizedLSTMCell(INPUT, 4, **options)),
            nnx.Linear(4, 5, **options),
        )
    )
    tokens = a_sequence(tokens=True)
    network = import_nnx(rebuild(state)).layer

    def theirs(state):
        return rebuild(state)(tokens)

    def ours(state):
        return jaxrnn.unroll(network, import_nnx(rebuild(state)).params, tokens, time_axis=1)[1]

    assert_same_function(theirs, ours, state)


@pytest.mark.parametrize("cell", [nn.LSTMCell(4, **WIDE), SIMPLE(4)], ids=["lstm", "simple"])
def test_a_bare_cell_of_linen(cell):
    x = a_sequence()[:, 0]
    carry = random_like(
        jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), x.shape)), 1
    )
    variables = random_like(jax.eval_shape(cell.init, jax.random.key(0), carry, x), 5, 0.5)
    layer, params = import_linen(cell, variables)
    new_carry, y = layer(params, import_carry(layer, carry), x)
    assert_close((export_carry(new_carry), y), cell.apply(variables, carry, x))


# What Flax can express; noise, and biases that stand apart, are left behind.
EXPORTED = {
    "lstm": jaxrnn.LSTM(INPUT, 4),
    "lstm_without_bias": jaxrnn.LSTM(INPUT, 4, use_bias=False),
    "gru": jaxrnn.GRU(INPUT, 4),
    "gru_without_bias": jaxrnn.GRU(INPUT, 4, use_bias=False),
    "elman": jaxrnn.Elman(INPUT, 4, activation=jax.nn.relu),
    "elman_without_bias": jaxrnn.Elman(INPUT, 4, use_bias=False),
    "two_biases": jaxrnn.SplitBias(jaxrnn.LSTM(INPUT, 4)),
    "reversed": jaxrnn.reverse(jaxrnn.GRU(INPUT, 4)),
    "sum_of_both": jaxrnn.bidirectional(jaxrnn.GRU(INPUT, 4), merge=jaxrnn.add),
    "deep": jaxrnn.lstm_network(INPUT, 4, num_layers=2, bidirectional=True, dropout=0.3),
    "from_tokens": jaxrnn.stack(
        jaxrnn.Embedding(TOKENS, 3), jaxrnn.WeightDrop(jaxrnn.GRU(3, 4), 0.2), jaxrnn.Linear(4, 5)
    ),
    "from_unit_vectors": jaxrnn.stack(jaxrnn.OneHot(TOKENS), jaxrnn.Elman(TOKENS, 4)),
}


def random_params(network, dtype=np.float64, recurrent_bias=True):
    params = random_like(jax.eval_shape(network.init, jax.random.key(0)), 5, 0.5, dtype)
    if recurrent_bias:
        return params

    def leaf(path, x):
        return jnp.zeros_like(x) if "recurrent_bias" in jax.tree_util.keystr(path[-1:]) else x

    return jax.tree_util.tree_map_with_path(leaf, params)


@pytest.mark.parametrize(
    ("name", "library"),
    [(name, library) for name in EXPORTED for library in ("linen", "nnx")]
    + [("lstm", "nnx_in_four")],
)
def test_exported_modules_compute_the_same(name, library):
    network = EXPORTED[name]
    xs = a_sequence(network.takes_tokens)
    # The GRU of nnx has no bias within the reset gate.
    zero = library != "linen" and name != "two_biases"
    params = random_params(network, recurrent_bias=not zero)
    _, expected = jaxrnn.unroll(network, params, xs, time_axis=1)
    if library == "linen":
        module, variables = export_linen(network, params)
        assert_close(module.apply(variables, xs), expected)
    else:
        cell = nnx.LSTMCell if library == "nnx_in_four" else nnx.OptimizedLSTMCell
        assert_close(export_nnx(network, params, lstm_cell=cell)(xs), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
@pytest.mark.parametrize("name", ["lstm", "elman", "sum_of_both", "deep", "from_tokens"])
def test_round_trips_are_equal_to_the_bit(name, dtype):
    network = EXPORTED[name]
    params = random_params(network, dtype)
    zeroed = random_params(network, dtype, recurrent_bias=False)
    for given, (again, returned) in (
        (params, import_linen(*export_linen(network, params))),
        (zeroed, import_nnx(export_nnx(network, zeroed))),
        (zeroed, import_nnx(export_nnx(network, zeroed, lstm_cell=nnx.LSTMCell))),
    ):
        given, returned = named_leaves(given), named_leaves(returned)
        if name not in ("deep", "from_tokens"):  # The network without its noise.
            assert again.output_size == network.output_size
            assert [leaf for leaf, _ in given] == [leaf for leaf, _ in returned]
        for (_, want), (_, got) in zip(given, returned, strict=True):
            assert got.dtype == want.dtype == dtype
            assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


def test_exported_modules_start_in_the_dtype_of_their_parameters():
    network = jaxrnn.stack(jaxrnn.LSTM(INPUT, 4), jaxrnn.Elman(4, 4), jaxrnn.GRU(4, 4))
    params = random_params(network, jnp.bfloat16, recurrent_bias=False)
    xs = a_sequence(dtype=jnp.bfloat16)
    module, variables = export_linen(network, params)
    assert module.apply(variables, xs).dtype == jnp.bfloat16
    assert export_nnx(network, params)(xs).dtype == jnp.bfloat16


def test_a_network_of_numpy_arrays_and_of_partitioned_parameters():
    module, xs = LINEN["gru"], a_sequence()
    variables = random_variables(module, xs)
    _, expected = import_linen(module, variables)
    _, params = import_linen(module, jax.tree.map(np.asarray, variables))
    assert_close(params, expected)
    boxed = jax.tree.map(lambda leaf: nn.Partitioned(leaf, (None,) * leaf.ndim), variables)
    assert_close(import_linen(module, boxed).params, expected)


def test_carries_go_and_come_back():
    network = jaxrnn.stack(
        jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4)),
        jaxrnn.Linear(8, 3),
        jaxrnn.Elman(3, 2),
    )
    carry = random_like(jax.eval_shape(lambda: network.initial_carry((2,))), 4)
    theirs = export_carry(carry)
    (c, h), gru = theirs[0]
    assert (c == carry.layers[0].forward.c).all() and (h == carry.layers[0].forward.h).all()
    assert (gru == carry.layers[0].backward.h).all() and len(theirs) == 2
    assert_close(import_carry(network, theirs), carry, tolerance=0)
