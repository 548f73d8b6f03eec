"""What Flax and jaxrnn cannot tell each other is refused, in a sentence, with the reason."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxrnn
from jaxrnn.errors import ConversionError
from jaxrnn.interop.flax import (
    export_linen,
    export_nnx,
    import_carry,
    import_linen,
    import_nnx,
)

XS = jnp.ones((2, 5, 3), jnp.float32)


def twice(make):
    shared = make()
    return nn.Sequential([shared, shared])


class Subclass(nn.LSTMCell):
    pass


SHARED = nn.RNN(nn.GRUCell(4))
REFUSED = {
    "gate_fn": (nn.RNN(nn.LSTMCell(4, gate_fn=nn.relu)), "gate_fn=relu.* gates of .*sigmoid"),
    "activation_fn": (nn.RNN(nn.GRUCell(4, activation_fn=nn.relu)), "activation_fn=relu"),
    "carry_init": (
        nn.RNN(nn.GRUCell(4, carry_init=nn.initializers.ones)),
        "carry_init=ones, but jaxrnn cells begin with zeros",
    ),
    "dtype": (
        nn.RNN(nn.GRUCell(4, dtype=jnp.bfloat16)),
        "parameters of float32 but dtype=bfloat16",
    ),
    "precision": (nn.Dense(4, precision="highest"), "Dense has precision='highest'"),
    "reversed outputs": (nn.RNN(nn.GRUCell(4), reverse=True), "give keep_order=True"),
    "parameters per instant": (
        nn.RNN(nn.GRUCell(4), variable_axes={"params": 0}, variable_broadcast=False),
        "RNN has variable_axes=",
    ),
    "subclass": (nn.RNN(Subclass(4)), "a Subclass, which jaxrnn has no cell for.*no subclass"),
    "MGU": (nn.RNN(nn.MGUCell(4)), "a MGUCell, which jaxrnn has no cell for"),
    "a function": (nn.Sequential([nn.Dense(4), nn.relu]), "relu is nothing that jaxrnn has a"),
    "a cell in a chain": (nn.Sequential([nn.LSTMCell(4)]), "needs a carry; wrap it in an RNN"),
    "mixed layouts": (
        nn.Sequential([nn.RNN(nn.GRUCell(4), time_major=True), nn.RNN(nn.GRUCell(4))]),
        "some layers of Sequential have time_major=True and others False",
    ),
    "a carry in between": (
        nn.Sequential([nn.RNN(nn.GRUCell(4), return_carry=True), nn.Dense(4)]),
        "return_carry=True within Sequential",
    ),
    "shared layer": (twice(lambda: nn.Dense(3)), "one Dense stands at two places"),
    "one direction": (nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.Dense(4)), "expected an RNN"),
    "shared RNN": (nn.Bidirectional(SHARED, SHARED), "one RNN stands at two places"),
    "shared cell": (
        (lambda cell: nn.Bidirectional(nn.RNN(cell), nn.RNN(cell)))(nn.GRUCell(4)),
        "one GRUCell stands at two places",
    ),
    "merge over time": (
        nn.Bidirectional(
            nn.RNN(nn.GRUCell(4)),
            nn.RNN(nn.GRUCell(4)),
            merge_fn=lambda a, b: a + jnp.flip(b, axis=1),
        ),
        "acts on time or batch",
    ),
    "one_hot of another axis": (
        nn.Sequential([functools.partial(jax.nn.one_hot, num_classes=3, axis=0), nn.Dense(2)]),
        "one_hot has options",
    ),
    "only noise": (nn.Sequential([nn.Dropout(0.5, deterministic=True)]), "nothing but Dropout"),
    "no layers": (nn.Sequential([]), "no layers"),
    "no module": (jaxrnn.GRU(3, 4), "expected a module of flax.linen, got .* GRU"),
}


def variables_of(module):
    """As from `module.init`, where Flax itself makes sense of the module."""
    try:
        return jax.eval_shape(module.init, jax.random.key(0), XS)
    except Exception:
        return {}


@pytest.mark.parametrize("name", REFUSED)
def test_modules_that_are_refused(name):
    module, message = REFUSED[name]
    variables = variables_of(module)
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), variables)
    with pytest.raises(ConversionError, match=message):
        import_linen(module, variables)


def changed(change):
    module = nn.RNN(nn.LSTMCell(4))
    params = {
        name: {leaf: np.ones(array.shape, np.float32) for leaf, array in layer.items()}
        for name, layer in jax.eval_shape(module.init, jax.random.key(0), XS)["params"][
            "cell"
        ].items()
    }
    change(params)
    return module, {"params": {"cell": params}}


DAMAGED = {
    "missing": (lambda p: p["hf"].pop("bias"), "parameter 'cell/hf/bias' is missing"),
    "missing layer": (lambda p: p.pop("ii"), "parameter 'cell/ii/kernel' is missing"),
    "extra": (lambda p: p["ii"].update(bias=np.ones(4)), "'cell/ii/bias' belongs to no layer"),
    "misshapen": (
        lambda p: p["hg"].update(kernel=np.ones((4, 5), np.float32)),
        r"'cell/hg/kernel' has shape \(4, 5\), but the module expects \(4, 4\)",
    ),
    "flat": (
        lambda p: p["ii"].update(kernel=np.ones(4, np.float32)),
        r"'cell/ii/kernel' has shape \(4,\); expected two axes",
    ),
    "of integers": (
        lambda p: p["io"].update(kernel=np.ones((3, 4), np.int32)),
        "'cell/io/kernel' has dtype int32",
    ),
    "of two dtypes": (
        lambda p: p["io"].update(kernel=np.ones((3, 4), np.float16)),
        "'cell/io/kernel' has dtype float16, but 'cell/ii/kernel' has float32",
    ),
    "no array": (lambda p: p["io"].update(kernel=3.0), "'cell/io/kernel' is a value of type float"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_variables_that_are_refused(name):
    change, message = DAMAGED[name]
    with pytest.raises(ConversionError, match=message):
        import_linen(*changed(change))


def test_variables_that_are_none():
    module, variables = changed(lambda params: None)
    with pytest.raises(ConversionError, match="no collection 'params'"):
        import_linen(module, variables["params"])
    with pytest.raises(ConversionError, match="collection 'batch_stats'"):
        import_linen(module, variables | {"batch_stats": {"mean": np.ones(3)}})


def test_float64_is_never_rounded():
    module, variables = changed(lambda params: None)
    wide = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables)
    with jax.enable_x64(False), pytest.raises(ConversionError, match="jax_enable_x64"):
        import_linen(module, wide)


def test_a_residual_cell_is_not_rounded():
    module = nn.RNN(nn.SimpleCell(4, residual=True, param_dtype=jnp.bfloat16))
    spec = jax.eval_shape(nn.RNN(nn.SimpleCell(4)).init, jax.random.key(0), XS)
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.bfloat16), spec)
    with pytest.raises(ConversionError, match="1 added to its diagonal, which bfloat16 would"):
        import_linen(module, variables)


def test_modules_of_nnx_that_are_refused():
    rngs = nnx.Rngs(0)
    with pytest.raises(ConversionError, match="expected a module of flax.nnx"):
        import_nnx(nn.Dense(4))
    simple = nnx.SimpleCell(3, 4, param_dtype=jnp.float64, rngs=rngs)
    with pytest.raises(ConversionError, match="parameters of float64 but dtype=float32"):
        import_nnx(nnx.RNN(simple))
    gru = nnx.GRUCell(3, 4, rngs=rngs)
    with pytest.raises(ConversionError, match="RNN has state_axes="):
        import_nnx(nnx.RNN(gru, state_axes={"params": None}))
    with pytest.raises(ConversionError, match="one GRUCell stands at two places"):
        import_nnx(nnx.Bidirectional(nnx.RNN(gru), nnx.RNN(gru)))
    gru.dense_h.kernel = nnx.Param(jnp.ones((4, 11)))
    with pytest.raises(ConversionError, match=r"'cell/dense_h/kernel' has shape \(4, 11\)"):
        import_nnx(nnx.RNN(gru))
    gru.dense_h = nnx.Linear(4, 12, rngs=rngs, use_bias=True)
    with pytest.raises(ConversionError, match="'cell/dense_h/bias' belongs to no layer"):
        import_nnx(nnx.RNN(gru))
    gru.dense_h = nnx.Linear(4, 12, rngs=rngs, use_bias=False, precision="highest")
    with pytest.raises(ConversionError, match="Linear has precision='highest'"):
        import_nnx(nnx.RNN(gru))
    abstract = nnx.eval_shape(lambda: nnx.RNN(nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))))
    with pytest.raises(ConversionError, match="expected an array of numbers"):
        import_nnx(abstract)


UNKNOWN = {
    "reset before": (jaxrnn.ResetBeforeGRU(3, 4), "resets after the matrix product"),
    "projection": (jaxrnn.ProjectedLSTM(3, 4, 2), "no projection"),
    "zoneout": (jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), 0.1, 0.1), "mixes old and new carries"),
    "learned start": (jaxrnn.learned_carry(jaxrnn.GRU(3, 4)), "begin with zeros"),
    "residual": (jaxrnn.residual(jaxrnn.GRU(3, 3)), "no path around a layer"),
    "a reversed stack": (jaxrnn.reverse(jaxrnn.gru_network(3, 4, 2)), "turns single cells only"),
    "only noise": (jaxrnn.Dropout(3, 0.5), "nothing without a key"),
}


@pytest.mark.parametrize("export", [export_linen, export_nnx])
@pytest.mark.parametrize("name", UNKNOWN)
def test_networks_that_are_refused(name, export):
    network, message = UNKNOWN[name]
    with pytest.raises(ConversionError, match=message):
        export(network, network.init(jax.random.key(0)))


def test_the_gru_of_nnx_has_no_bias_within_the_reset_gate():
    cell = jaxrnn.GRU(3, 4)
    params = cell.init(jax.random.key(0))
    export_nnx(cell, params)
    wrong = params._replace(recurrent_bias=jnp.array([0.0, 0.0, 1e-30, 0.0]))
    with pytest.raises(ConversionError, match="recurrent_bias of GRU.* nnx.GRUCell has no bias"):
        export_nnx(cell, wrong)
    export_linen(cell, wrong)


def test_parameters_that_are_not_the_networks():
    cell = jaxrnn.LSTM(3, 4)
    params = cell.init(jax.random.key(0))
    with pytest.raises(ConversionError, match="LSTM.*`bias` has shape"):
        export_linen(cell, params._replace(bias=jnp.ones(3)))
    with pytest.raises(ConversionError, match="have several dtypes"):
        export_nnx(cell, params._replace(bias=params.bias.astype(jnp.float16)))
    with pytest.raises(ConversionError, match="lstm_cell is .*GRUCell"):
        export_nnx(cell, params, lstm_cell=nnx.GRUCell)


def test_carries_that_are_refused():
    with pytest.raises(ConversionError, match=r"expected \(c, h\), as of .* tuple of 3"):
        import_carry(jaxrnn.LSTM(3, 4), (1, 2, 3))
    with pytest.raises(ConversionError, match="expected h, an array, got a tuple of 2"):
        import_carry(jaxrnn.GRU(3, 4), (1, 2))
