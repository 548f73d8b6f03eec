"""Equinox modules through our converter: values, last state and gradients, in float64."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_like, random_point

import jaxrnn
from jaxrnn.errors import ConversionError, MissingExtraError
from jaxrnn.interop.equinox import export_equinox, import_equinox

eqx = pytest.importorskip("equinox", reason="equinox is not installed")

KEY = jax.random.key(0)
XS = random_like(jax.ShapeDtypeStruct((5, 2, 3), np.float64), 1)
IDS = jnp.asarray(np.random.default_rng(0).integers(6, size=(5, 2)))

MODULES = {
    "LSTM": lambda: eqx.nn.LSTMCell(3, 4, key=KEY),
    "LSTM without bias": lambda: eqx.nn.LSTMCell(3, 4, use_bias=False, key=KEY),
    "GRU": lambda: eqx.nn.GRUCell(3, 4, key=KEY),
    "chain": lambda: (
        eqx.nn.Embedding(6, 3, key=KEY),
        eqx.nn.LSTMCell(3, 4, key=KEY),
        eqx.nn.GRUCell(4, 5, use_bias=False, key=KEY),
        eqx.nn.Linear(5, 2, key=KEY),
        eqx.nn.Linear(2, 3, use_bias=False, key=KEY),
    ),
}


def unrolled(modules, xs, states):
    """The modules one above the other, each over the whole batch of sequences, as its owner does.

    Returns the outputs and the last states of the cells.
    """
    last = []
    states = iter(states)
    for module in modules if isinstance(modules, tuple) else (modules,):
        if isinstance(module, eqx.nn.LSTMCell | eqx.nn.GRUCell):

            def instant(state, x, cell=module):
                state = jax.vmap(cell)(x, state)
                return state, state[0] if isinstance(state, tuple) else state

            state, xs = jax.lax.scan(instant, next(states), xs)
            last.append(state)
        else:
            xs = jax.vmap(jax.vmap(module))(xs)
    return xs, last


def layers_of(network):
    return getattr(network, "layers", (network,))


def states_of(network, seed):
    """Random states in Equinox's form."""
    states = []
    for number, layer in enumerate(layers_of(network)):
        if isinstance(layer, jaxrnn.LSTM | jaxrnn.GRU):
            carry = random_like(layer.initial_carry((2,)), seed + number)
            states.append(tuple(carry) if isinstance(layer, jaxrnn.LSTM) else carry.h)
    return states


def carry_of(network, states):
    states = iter(states)
    layers = []
    for layer in layers_of(network):
        match layer:
            case jaxrnn.LSTM():
                layers.append(jaxrnn.LSTMCarry(*next(states)))
            case jaxrnn.GRU():
                layers.append(jaxrnn.GRUCarry(h=next(states)))
            case _:
                layers.append(())
    if isinstance(network, jaxrnn.Stack):
        return network.initial_carry(())._replace(layers=tuple(layers))
    return layers[0]


@pytest.mark.parametrize("name", MODULES)
def test_values_last_state_and_gradients(name):
    theirs = random_like(MODULES[name](), 2, 0.5)
    xs = IDS if name == "chain" else XS
    network, _ = import_equinox(theirs)
    states = states_of(network, 3)
    (ys, last), pull_theirs = jax.vjp(jax.jit(unrolled), theirs, xs, states)

    @jax.jit
    def ours(module, xs, states):
        params = import_equinox(module)[1]  # Gradients come through the converter.
        return jaxrnn.unroll(network, params, xs, carry_of(network, states))[::-1]

    (our_ys, our_last), pull_ours = jax.vjp(ours, theirs, xs, states)
    assert_close(our_ys, ys)
    assert_close(our_last, carry_of(network, last))
    probe_ys, probe_last = random_like(jax.eval_shape(lambda: (ys, last)), 4)
    expected = pull_theirs((probe_ys, probe_last))
    actual = pull_ours((probe_ys, carry_of(network, probe_last)))
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_round_trips_keep_every_bit(dtype):
    network = jaxrnn.stack(
        jaxrnn.Embedding(6, 3),
        jaxrnn.LSTM(3, 4),
        jaxrnn.Dropout(4, 0.5),
        jaxrnn.GRU(4, 3),
        jaxrnn.LSTM(3, 4, use_bias=False),
        jaxrnn.GRU(4, 3, use_bias=False),
        jaxrnn.Linear(3, 5),
        jaxrnn.Linear(5, 2, use_bias=False),
    )
    params = random_point(network, dtype=dtype).params
    modules = export_equinox(network, params)
    again, restored = import_equinox(modules)
    assert again == network
    assert {leaf.dtype for leaf in jax.tree.leaves(restored)} == {jnp.dtype(dtype)}
    jax.tree.map(np.testing.assert_array_equal, restored, params)


@pytest.mark.parametrize("name", MODULES)
def test_exported_modules_are_equinox_own(name):
    theirs = random_like(MODULES[name](), 2)
    again = export_equinox(*import_equinox(theirs))
    assert jax.tree.structure(again) == jax.tree.structure(theirs)  # Static fields included.
    jax.tree.map(np.testing.assert_array_equal, again, theirs)


def test_sequential_and_list_are_chains_and_identity_is_nothing():
    linear = eqx.nn.Linear(3, 4, key=KEY)
    pieces = [linear, eqx.nn.Identity(), eqx.nn.Dropout(0.25)]
    expected = jaxrnn.stack(jaxrnn.Linear(3, 4), jaxrnn.Dropout(4, 0.25))
    for chain in (pieces, tuple(pieces), eqx.nn.Sequential(pieces)):
        network, params = import_equinox(chain)
        assert network == expected
        np.testing.assert_array_equal(params.layers[0].kernel, linear.weight.T)


def test_a_stack_is_a_tuple_of_modules_and_noise_without_a_module_stays_behind(key):
    cell = jaxrnn.StateDropout(jaxrnn.LSTM(3, 4), rate=0.5)
    assert isinstance(export_equinox(cell, cell.init(key)), eqx.nn.LSTMCell)
    network = jaxrnn.stack(jaxrnn.VariationalDropout(3, 0.5), jaxrnn.WeightDrop(cell, rate=0.5))
    (module,) = export_equinox(network, network.init(key))
    assert isinstance(module, eqx.nn.LSTMCell)


def test_a_swapped_gate_is_seen(monkeypatch):
    theirs = random_like(MODULES["LSTM"](), 2, 0.5)
    network, params = import_equinox(theirs)
    i, f, g, o = jnp.split(params.bias, 4)
    wrong = params._replace(bias=jnp.concatenate([i, g, f, o]))
    states = states_of(network, 3)
    ys, _ = unrolled(theirs, XS, states)
    _, our_ys = jaxrnn.unroll(network, wrong, XS, carry_of(network, states))
    with pytest.raises(AssertionError, match="differs by"):
        assert_close(our_ys, ys)


def broken(field, value):
    return eqx.tree_at(
        lambda cell: getattr(cell, field), MODULES["GRU"](), value, is_leaf=lambda x: x is None
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: eqx.nn.LayerNorm(3), "LayerNorm has no counterpart in jaxrnn; expected one of"),
        (lambda: [eqx.nn.Lambda(jnp.tanh)], "Lambda has no counterpart in jaxrnn"),
        (lambda: "GRUCell", "str has no counterpart in jaxrnn"),
        (lambda: eqx.nn.Dropout(0.5), "Dropout outside a chain has no counterpart"),
        (lambda: [eqx.nn.Dropout(0.5)], "Dropout outside a chain has no counterpart"),
        (lambda: [], "got no layers; give at least one"),
        (lambda: eqx.nn.Linear("scalar", 3, key=KEY), "give it 1 feature in place of 'scalar'"),
        (
            lambda: [eqx.nn.Linear(3, 4, key=KEY), eqx.nn.GRUCell(5, 4, key=KEY)],
            "writes width 4, but .* reads input_size=5",
        ),
        (
            lambda: [eqx.nn.Linear(3, 6, key=KEY), eqx.nn.Embedding(6, 4, key=KEY)],
            "reads token ids, and stands above another layer",
        ),
        (lambda: broken("bias_n", None), "equinox.nn.GRUCell: weight 'bias_n' is missing"),
        (
            lambda: broken("weight_hh", jnp.ones((12, 3))),
            r"equinox.nn.GRUCell: weight 'weight_hh' has shape \(12, 3\); expected \(12, 4\)",
        ),
        (lambda: broken("bias", np.ones(12, int)), "'bias' has dtype int64; expected an array"),
    ],
)
def test_what_cannot_be_imported_is_refused(make, message):
    with pytest.raises(ConversionError, match=message):
        import_equinox(make())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (jaxrnn.Elman(3, 4), "it has no simple recurrent cell"),
        (jaxrnn.ResetBeforeGRU(3, 4), "resets after the product, this cell before it"),
        (jaxrnn.ProjectedLSTM(3, 4, 2), "equinox has nothing with its equations"),
        (jaxrnn.bidirectional(jaxrnn.LSTM(3, 4)), "read from the start only"),
        (jaxrnn.reverse(jaxrnn.LSTM(3, 4)), "read from the start only"),
        (jaxrnn.learned_carry(jaxrnn.LSTM(3, 4)), "a learned start has no place there"),
        (jaxrnn.OneHot(3), "it has no weights"),
    ],
)
def test_what_equinox_cannot_express_is_refused(network, message, key):
    for layer in (network, jaxrnn.stack(network)):
        with pytest.raises(ConversionError, match=f"cannot be exported to equinox: .*{message}"):
            export_equinox(layer, layer.init(key))


def test_parameters_of_another_network_are_refused(key):
    with pytest.raises(ConversionError, match=r"parameter `input_kernel` .*\(5, 16\)"):
        export_equinox(jaxrnn.LSTM(3, 4), jaxrnn.LSTM(5, 4).init(key))


def test_a_missing_equinox_is_named(monkeypatch, key):
    monkeypatch.setitem(sys.modules, "equinox", None)
    cell = jaxrnn.LSTM(3, 4)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[equinox\]'"):
        export_equinox(cell, cell.init(key))
