"""Graphs from ONNX: its own node cases, onnxruntime over random attributes, torch's exporter."""

import functools
import io
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import Point, assert_close, pull, random_probe
from jax.test_util import check_grads
from onnx_graphs import GATES, HIDDEN, INPUT, node_model, random_weights

import jaxrnn
from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx import (
    OnnxActivation,
    OnnxGRU,
    OnnxLSTM,
    import_onnx,
    initial_carry,
    run_onnx,
)
from jaxrnn.interop.onnx.activations import KINDS
from jaxrnn.model_file import load_model, save_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

ACTIVATIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
TIME, BATCH = 5, 3


@functools.cache
def node_cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other operators' cases, made all at once
        cases = load_model_tests(kind="node")
    found = {}
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in GATES:
            found[case.name] = case
    return found


NODE_CASES = [
    f"test_{kind}_{case}"
    for kind in ("simple_rnn", "gru", "lstm")
    for case in ("defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional")
] + ["test_rnn_seq_length", "test_gru_seq_length", "test_lstm_with_peepholes"]


def test_the_list_of_node_cases_is_whole():
    assert sorted(node_cases()) == sorted(NODE_CASES) and len(NODE_CASES) == 18


@pytest.mark.parametrize("name", NODE_CASES)
def test_node_cases_of_onnx(name):
    case = node_cases()[name]
    names = [value.name for value in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        given = dict(zip(names, inputs, strict=True))
        weights = {name: given.pop(name) for name in list(given) if name in "WRBP"}
        found = run_onnx(import_onnx(case.model, weights), given)
        for value, want in zip(case.model.graph.output, outputs, strict=True):
            # onnx has atol=1e-7; but its 1 − z, in float32 like ours, has steps of 1.2e-7.
            np.testing.assert_allclose(found[value.name], want, rtol=1e-3, atol=5e-7)


def random_attributes(rng, operator, directions):
    """Activations with their numbers, as onnxruntime reads them; clip; the operator's own."""
    direction = "bidirectional" if directions == 2 else rng.choice(["forward", "reverse"])
    attributes = {"hidden_size": HIDDEN, "direction": str(direction)}
    if rng.random() < 0.6:
        names = rng.choice(sorted(KINDS), ACTIVATIONS[operator] * directions).tolist()
        attributes["activations"] = names
        for argument, low, high in (("alpha", 0.2, 0.9), ("beta", -0.5, 0.7)):
            takers = [getattr(KINDS[name], argument) is not None for name in names]
            values = rng.uniform(low, high, len(names)).tolist()
            values = [v for v, takes in zip(values, takers, strict=True) if takes]
            defaults = {"LeakyRelu", "HardSigmoid", "Elu"}  # both sides have the same
            if defaults.issuperset(
                name for name, takes in zip(names, takers, strict=True) if takes
            ):
                values = values if rng.random() < 0.5 else []
            if values:
                attributes[f"activation_{argument}"] = values
    if rng.random() < 0.4:
        attributes["clip"] = float(rng.uniform(0.1, 0.8))
    if operator == "GRU":
        attributes["linear_before_reset"] = int(rng.random() < 0.5)
    if operator == "LSTM":
        attributes["input_forget"] = int(rng.random() < 0.3)
    return attributes


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("operator", GATES)
def test_random_attributes_as_in_onnxruntime(operator, seed):
    rng = np.random.default_rng([seed, GATES[operator]])
    directions = int(rng.integers(1, 3))
    attributes = random_attributes(rng, operator, directions)
    weights = random_weights(
        rng,
        operator,
        directions,
        bias=rng.random() < 0.8,
        peepholes=operator == "LSTM" and rng.random() < 0.5,
    )
    given = {"xs": rng.normal(size=(TIME, BATCH, INPUT)).astype(np.float32)}
    constants = {}
    lengths = np.full(BATCH, TIME)
    if rng.random() < 0.6:
        lengths = np.array([*rng.integers(0, TIME + 1, BATCH - 2), TIME, 0])
        place = given if rng.random() < 0.7 else constants
        place["lengths"] = lengths.astype(np.int32)
    for name in ("initial_h", "initial_c") if operator == "LSTM" else ("initial_h",):
        if rng.random() < 0.5:
            place = given if rng.random() < 0.5 else constants
            place[name] = rng.normal(size=(directions, BATCH, HIDDEN)).astype(np.float32)
    # The last state of a row of RNN without instants is read from before the array there.
    outputs = ("Y",) if operator == "RNN" and 0 in lengths else ("Y", "Y_h", "Y_c")
    proto = node_model(operator, weights, attributes, constants, tuple(given), outputs)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    want = dict(zip([o.name for o in session.get_outputs()], session.run(None, given), strict=True))
    model = import_onnx(proto)
    found = run_onnx(model, given)
    assert found.keys() == want.keys()
    for name, array in want.items():
        ours = np.asarray(found[name])
        if name != "Y":  # there, states of rows without instants are zeros; ours stay as they were
            ours, array = ours[:, lengths > 0], array[:, lengths > 0]
        scale = max(1, np.abs(array).max(initial=0))
        np.testing.assert_allclose(ours / scale, array / scale, rtol=0, atol=1e-5)
    plain = not ({"activations", "clip"} & set(attributes))
    plain = plain and not attributes.get("input_forget") and weights[3] is None
    is_general = "Onnx" in repr(model.network)
    if plain or operator != "RNN":
        assert is_general != plain


def test_a_row_without_instants_keeps_its_state():
    rng = np.random.default_rng(0)
    for operator in GATES:
        given = {
            "xs": rng.normal(size=(TIME, BATCH, INPUT)).astype(np.float32),
            "lengths": np.array([TIME, 0, 2], np.int32),
            "initial_h": rng.normal(size=(1, BATCH, HIDDEN)).astype(np.float32),
        }
        proto = node_model(
            operator, random_weights(rng, operator), {"hidden_size": HIDDEN}, (), tuple(given)
        )
        found = run_onnx(import_onnx(proto), given)
        assert (found["Y_h"][0, 1] == given["initial_h"][0, 1]).all()
        assert (found["Y"][2:, 0, 2] == 0).all()


PLAIN = {
    "RNN": (jaxrnn.Elman(INPUT, HIDDEN), {}),
    "LSTM": (jaxrnn.LSTM(INPUT, HIDDEN), {}),
    "GRU": (jaxrnn.GRU(INPUT, HIDDEN), {"linear_before_reset": 1}),
    "GRU before": (jaxrnn.ResetBeforeGRU(INPUT, HIDDEN), {}),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_nodes_are_the_librarys_cells(kind):
    """Equal descriptions, so that values and gradients are those of the cell, by hand and fast."""
    cell, attributes = PLAIN[kind]
    operator = kind.split()[0]
    weights = random_weights(np.random.default_rng(1), operator, dtype=np.float64)
    model = import_onnx(
        node_model(operator, weights, {"hidden_size": HIDDEN, **attributes}, dtype=np.float64)
    )
    assert model.network == cell and model.network.knows_backward
    w, r, b, _ = (None if array is None else array[0] for array in weights)
    order = {
        "RNN": [0],
        "LSTM": [0, 2, 3, 1],  # i, o, f, c as i, f, g, o
        "GRU": [1, 0, 2],  # z, r, n as r, z, n
    }[operator]
    blocks = np.concatenate([np.arange(HIDDEN) + HIDDEN * gate for gate in order])
    wb, rb = np.split(b, 2)
    expected = jax.eval_shape(cell.init, jax.random.key(0))._replace(
        input_kernel=w.T[:, blocks], recurrent_kernel=r.T[:, blocks], bias=(wb + rb)[blocks]
    )
    if kind == "GRU":
        expected.bias[2 * HIDDEN :] = wb[2 * HIDDEN :]
        expected = expected._replace(recurrent_bias=rb[2 * HIDDEN :])
    assert_close(model.params, expected, tolerance=0)


GENERAL = {
    "peepholes": (
        OnnxLSTM(INPUT, HIDDEN, use_peepholes=True),
        jaxrnn.LSTM(INPUT, HIDDEN),
    ),
    "reset after": (OnnxGRU(INPUT, HIDDEN), jaxrnn.GRU(INPUT, HIDDEN)),
    "reset before": (
        OnnxGRU(INPUT, HIDDEN, reset_after=False),
        jaxrnn.ResetBeforeGRU(INPUT, HIDDEN),
    ),
}


@pytest.mark.parametrize("name", GENERAL)
def test_general_cells_contain_the_librarys(name):
    """With default activations and no peepholes: same values, same gradients."""
    general, cell = GENERAL[name]
    rng = np.random.default_rng(3)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.5),
        jax.eval_shape(cell.init, jax.random.key(0)),
    )
    fields = {**params._asdict()}
    if name == "peepholes":
        fields["peepholes"] = jnp.zeros(3 * HIDDEN)
    if name == "reset before":
        fields["recurrent_bias"] = None
    general_params = type(jax.eval_shape(general.init, jax.random.key(0)))(**fields)
    xs = jnp.asarray(rng.normal(size=(TIME, BATCH, INPUT)))
    carry = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), cell.initial_carry((BATCH,))
    )
    point = Point(params, carry, xs)
    probe = random_probe(cell, point)
    values, gradients = pull(cell, point, probe)
    found, found_gradients = pull(general, Point(general_params, carry, xs), probe)
    assert_close(found, values)
    found_params = found_gradients.params._asdict()
    for field, gradient in gradients.params._asdict().items():
        assert_close(found_params[field], gradient)
    assert_close(found_gradients.carry, gradients.carry)
    assert_close(found_gradients.xs, gradients.xs)


def test_gradients_of_general_cells():
    smooth = OnnxActivation("ScaledTanh", alpha=0.8, beta=0.6, clip=3.0)
    cells = [
        OnnxLSTM(INPUT, HIDDEN, OnnxActivation("Sigmoid"), smooth, smooth, use_peepholes=True),
        OnnxGRU(INPUT, HIDDEN, OnnxActivation("Softsign"), OnnxActivation("Softplus")),
    ]
    rng = np.random.default_rng(5)
    xs = jnp.asarray(rng.normal(size=(2, 2, INPUT)))
    for cell in cells:
        params = jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.5),
            jax.eval_shape(cell.init, jax.random.key(0)),
        )

        @jax.jit
        def ys(params, xs, cell=cell):
            return jaxrnn.unroll(cell, params, xs)[1]

        check_grads(ys, (params, xs), order=1, modes=["rev"])


@pytest.mark.parametrize("kind", KINDS)
def test_activations_have_finite_slopes_everywhere(kind):
    activation = OnnxActivation(kind, alpha=0.5, beta=0.25)
    x = jnp.array([-1e4, -1.0, 0.0, 0.5, 1.0, 1e4])
    for dtype in (jnp.float32, jnp.bfloat16):
        y, slope = jax.jvp(activation, (x.astype(dtype),), (jnp.ones_like(x, dtype),))
        assert y.dtype == slope.dtype == dtype
        assert jnp.isfinite(y).all() and jnp.isfinite(slope).all()


def test_general_cells_live_in_model_files(tmp_path):
    cell = OnnxLSTM(INPUT, HIDDEN, OnnxActivation("HardSigmoid", 0.25, 0.5, clip=2.0))
    params = cell.init(jax.random.key(0))
    save_model(tmp_path / "model", cell, params)
    found = load_model(tmp_path / "model")
    assert found.network == cell
    assert_close(found.params, params, tolerance=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_dtypes_survive(dtype):
    weights = random_weights(np.random.default_rng(2), "LSTM", dtype=dtype)
    proto = node_model("LSTM", weights, {"hidden_size": HIDDEN}, dtype=dtype)
    proto.opset_import[0].version, proto.ir_version = 22, 10
    model = import_onnx(proto)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {np.dtype(dtype)}
    assert (np.asarray(model.params.input_kernel[:, :HIDDEN]) == weights[0][0, :HIDDEN].T).all()


def test_float64_needs_x64():
    weights = random_weights(np.random.default_rng(2), "RNN", dtype=np.float64)
    proto = node_model("RNN", weights, {"hidden_size": HIDDEN}, dtype=np.float64)
    with jax.enable_x64(False), pytest.raises(ConversionError, match="jax_enable_x64"):
        import_onnx(proto)


def test_batch_first_states_and_constants():
    """layout=1, which onnxruntime refuses: the same node with axes turned by hand."""
    rng = np.random.default_rng(4)
    weights = random_weights(rng, "LSTM", 2)
    attributes = {"hidden_size": HIDDEN, "direction": "bidirectional"}
    h, c = rng.normal(size=(2, 2, BATCH, HIDDEN)).astype(np.float32)
    xs = rng.normal(size=(TIME, BATCH, INPUT)).astype(np.float32)
    lengths = np.array([3, TIME, 1], np.int32)
    first = import_onnx(
        node_model(
            "LSTM", weights, attributes, {"initial_c": c, "lengths": lengths}, ["xs", "initial_h"]
        )
    )
    assert first.time_axis == 0 and (first.lengths == lengths).all()
    assert (first.carry.backward.c == c[1]).all() and (first.carry.forward.h == 0).all()
    want = run_onnx(first, {"xs": xs, "initial_h": h})
    turned = import_onnx(
        node_model(
            "LSTM",
            weights,
            attributes | {"layout": 1},
            {"initial_c": c.swapaxes(0, 1), "lengths": lengths},
            ["xs", "initial_h"],
        )
    )
    assert turned.time_axis == 1
    given = {"xs": xs.swapaxes(0, 1), "initial_h": h.swapaxes(0, 1)}
    found = run_onnx(turned, given)
    assert_close(found["Y"], want["Y"].transpose(2, 0, 1, 3), tolerance=1e-6)
    assert_close(found["Y_c"], want["Y_c"].swapaxes(0, 1), tolerance=1e-6)
    carry = initial_carry(turned, given, (BATCH,))
    _, ys = jaxrnn.unroll(
        turned.network, turned.params, given["xs"], carry, lengths=turned.lengths, time_axis=1
    )
    both = jnp.concatenate([found["Y"][:, :, 0], found["Y"][:, :, 1]], axis=-1)
    assert_close(ys, both, tolerance=0)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_what_torch_writes(kind, batch_first):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(7, 3)
            options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first}
            self.layers = getattr(torch.nn, kind)(3, 4, dropout=0.1, **options)
            self.head = torch.nn.Linear(8, 5)

        def forward(self, tokens):
            ys, state = self.layers(self.embedding(tokens))
            return self.head(ys), state

    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first}
            self.layers = getattr(torch.nn, kind)(3, 4, **options)

        def forward(self, xs, state):
            return self.layers(xs, state)

    class Single(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(3, 4, bias=False)

        def forward(self, xs):
            return self.layers(xs)

    shape = (2, 5) if batch_first else (5, 2)
    axes = {"xs": {0: "first", 1: "second"}}
    state = torch.randn(4, 2, 4)
    state = (state, torch.randn(4, 2, 4)) if kind == "LSTM" else state
    modules = [
        (Tagger(), (torch.randint(0, 7, shape),), axes),
        (Layers(), (torch.randn(*shape, 3), state), axes),
        (Single(), (torch.randn(5, 3),), {"xs": {0: "first"}}),
        (Single(), (torch.randn(5, 2, 3),), {}),
    ]
    for module, arguments, dynamic in modules:
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this exporter its old one
            torch.onnx.export(
                module.eval(),
                arguments,
                file,
                input_names=["xs"],
                dynamo=False,
                dynamic_axes=dynamic,
            )
        model = import_onnx(file.getvalue())
        names = [value.name for value in onnx.load_from_string(file.getvalue()).graph.input]
        arrays = [array.numpy() for array in jax.tree.leaves(arguments)]
        with torch.no_grad():
            want = jax.tree.leaves(module(*arguments))
        found = run_onnx(model, dict(zip(names, arrays, strict=True)))
        for ours, theirs in zip(found.values(), want, strict=True):
            assert_close(ours, theirs.numpy(), tolerance=1e-5)
