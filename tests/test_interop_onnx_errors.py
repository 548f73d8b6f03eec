"""What no ONNX graph, file, activation or input may be, and what is said of it."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from onnx_graphs import HIDDEN, INPUT, node_model, random_weights

import jaxrnn
from jaxrnn.errors import ConversionError, MissingExtraError, ModelFileError
from jaxrnn.interop.onnx import (
    OnnxActivation,
    OnnxGRU,
    OnnxLSTM,
    export_onnx,
    import_onnx,
    run_onnx,
)

pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def chain(*nodes, constants=(), inputs=("xs",), rank=3, output="ys"):
    """A model of the nodes (operator, inputs, outputs, attributes)."""
    graph = helper.make_graph(
        [
            helper.make_node(op, given, made, name=f"node {place}", **attributes)
            for place, (op, given, made, attributes) in enumerate(nodes)
        ],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in dict(constants).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


W, R = random_weights(np.random.default_rng(6), "RNN")[:2]
WEIGHTS = {"W": W, "R": R, "one": np.array([1]), "K": np.ones((HIDDEN, 2), np.float32)}
RNN = ("RNN", ["xs", "W", "R"], ["Y", "Y_h"], {"hidden_size": HIDDEN})


def flat(**attributes):
    weights = random_weights(np.random.default_rng(6), "LSTM")
    return node_model("LSTM", weights, {"hidden_size": HIDDEN} | attributes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain(RNN, ("Relu", ["Y"], ["ys"], {})), r"node 'node 1' \(Relu\): expected one"),
        (
            lambda: chain(RNN, ("Squeeze", ["Y", "axes"], ["ys"], {}), constants={"axes": [2]}),
            "removes the axis 1",
        ),
        (
            lambda: chain(RNN, ("Reshape", ["Y", "s"], ["ys"], {}), constants={"s": [-1, HIDDEN]}),
            "does more than",
        ),
        (
            lambda: chain(RNN, ("Gather", ["Y", "one"], ["ys"], {"axis": 0})),
            "picks instants or features",
        ),
        (lambda: chain(RNN, ("Add", ["Y", "K"], ["ys"], {})), "no matrix product below"),
        (
            lambda: chain(RNN, ("MatMul", ["Y_h", "K"], ["ys"], {})),
            r"node 1' \(MatMul\): a sequence of vectors must be on its left",
        ),
        (
            lambda: chain(
                RNN,
                ("Squeeze", ["Y", "one"], ["ys1"], {}),
                ("Transpose", ["ys1"], ["t"], {"perm": [1, 0, 2]}),
                ("RNN", ["t", "W2", "R"], ["ys"], {"hidden_size": HIDDEN}),
                constants={"W2": np.ones((1, HIDDEN, HIDDEN), np.float32)},
            ),
            "another axis as time",
        ),
        (lambda: chain(RNN, inputs=("xs", "other"), output="Y"), "'xs' and 'other' are both seq"),
        (lambda: chain(("Identity", ["xs"], ["ys"], {})), "no layer"),
        (lambda: flat(clip=-1.0), "clip is -1.0; expected a positive number"),
        (lambda: flat(activations=["Tanh"]), "there are 1 activations; expected 3"),
        (lambda: flat(activations=["Tanh", "Gelu", "Tanh"]), "'Gelu' is none of ONNX's"),
        (lambda: flat(activations=["Affine", "Tanh", "Tanh"]), "Affine needs activation_alpha"),
        (
            lambda: flat(activations=["Tanh", "Elu", "Tanh"], activation_alpha=[0.5, 0.6, 0.7]),
            "3 values for 1 activations that take one",
        ),
        (lambda: flat(direction="sideways"), "direction is 'sideways'"),
        (lambda: flat(layout=2), "layout is 2"),
        (lambda: flat(hidden_size=HIDDEN + 1), r"W has shape \(1, 12, 2\); expected \(1, 16, 2\)"),
    ],
)
def test_what_is_no_network_is_refused(make, message):
    proto = make()
    have = {tensor.name for tensor in proto.graph.initializer}
    used = {name for node in proto.graph.node for name in node.input}
    for name in (WEIGHTS.keys() & used) - have:
        proto.graph.initializer.append(numpy_helper.from_array(WEIGHTS[name], name))
    with pytest.raises(ConversionError, match=message) as caught:
        import_onnx(proto)
    assert "\n" not in str(caught.value)


def test_what_a_file_may_not_hold(tmp_path):
    proto = flat()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(
        ConversionError, match=re.escape(str(path)) + ".*another file, which is not"
    ):
        import_onnx(path)
    huge = flat()
    huge.graph.initializer[0].dims[:] = [2**20, 2**20, 2**20]
    with pytest.raises(ConversionError, match="but holds less|no valid ONNX model"):
        import_onnx(huge)
    foreign = flat()
    foreign.graph.node[0].domain = "com.example"
    with pytest.raises(ConversionError, match="domain"):
        import_onnx(foreign)
    with pytest.raises(ModelFileError, match="No such file"):
        import_onnx(tmp_path / "missing.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        import_onnx(tmp_path)
    with pytest.raises(ConversionError, match="a value of type NoneType; expected a path, bytes"):
        import_onnx(None)
    weights = random_weights(np.random.default_rng(2), "RNN", dtype=np.int64)
    with pytest.raises(ConversionError, match="a parameter has dtype int64"):
        import_onnx(node_model("RNN", weights, {"hidden_size": HIDDEN}))
    with pytest.raises(ModelFileError, match="no ONNX model"):
        import_onnx(b"hello world, this is text")


def test_a_missing_onnx_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[onnx\]'"):
        import_onnx(b"")
    cell = jaxrnn.GRU(2, 3)
    with pytest.raises(MissingExtraError, match="onnx is not installed"):
        export_onnx(tmp_path / "model.onnx", cell, cell.init(jax.random.key(0)))


def test_inputs_of_a_run_are_checked():
    model = import_onnx(flat())
    with pytest.raises(ConversionError, match="'xs' is missing; the graph's inputs are xs"):
        run_onnx(model, {})
    with pytest.raises(ConversionError, match=r"'xs' has shape \(2, 2\); expected 3 axes"):
        run_onnx(model, {"xs": np.zeros((2, INPUT), np.float32)})
    with pytest.raises(ConversionError, match="'h' is unknown"):
        run_onnx(model, {"xs": np.zeros((2, 2, INPUT), np.float32), "h": 0})
    with pytest.raises(ConversionError, match="no input 'V'"):
        import_onnx(flat(), {"V": np.zeros(3)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OnnxActivation("Gelu"), "ONNX has no activation 'Gelu'"),
        (lambda: OnnxActivation("Elu", alpha=float("nan")), "alpha must be finite"),
        (lambda: OnnxActivation("Elu", alpha="1"), "alpha must be a number"),
        (lambda: OnnxActivation("Elu", clip=0.0), "clip must be positive"),
        (lambda: OnnxLSTM(2, 3, jnp.tanh), "gate_activation must be an OnnxActivation"),
        (lambda: OnnxLSTM(2, 3, coupled=1), "coupled must be True or False"),
        (lambda: OnnxGRU(0, 3), "input_size must be a positive integer"),
    ],
)
def test_cells_are_checked(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
