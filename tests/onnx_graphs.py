"""Models of ONNX, made node by node."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUT, HIDDEN = 2, 3


def node_model(
    operator,
    weights,
    attributes,
    constants=(),
    inputs=("xs",),
    outputs=("Y", "Y_h", "Y_c"),
    dtype=np.float32,
    input_size=INPUT,
):
    """A model of one node: weights [W, R, B, P], constants and inputs by the operator's names."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = dict(zip("WRBP", weights, strict=False)) | dict(constants)
    constants = {name: array for name, array in constants.items() if array is not None}
    order = ["xs", "W", "R", "B", "lengths", "initial_h", "initial_c", "P"]
    given = [name if name in constants or name in inputs else "" for name in order]
    while not given[-1]:
        given.pop()
    outputs = [name for name in outputs if operator == "LSTM" or name != "Y_c"]
    node = helper.make_node(operator, given, outputs, name="the node", **attributes)
    shapes = {"xs": ["a", "b", input_size], "lengths": ["batch"]}
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    states = [directions, "batch", attributes["hidden_size"]]
    if attributes.get("layout"):
        states = ["batch", directions, attributes["hidden_size"]]
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT32 if name == "lengths" else element, shapes.get(name, states)
            )
            for name in order
            if name in inputs
        ],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def random_weights(rng, operator, directions=1, *, bias=True, peepholes=False, dtype=np.float32):
    gates = GATES[operator]

    def draw(*shape):
        return rng.uniform(-0.8, 0.8, (directions, *shape)).astype(dtype)

    return [
        draw(gates * HIDDEN, INPUT),
        draw(gates * HIDDEN, HIDDEN),
        draw(2 * gates * HIDDEN) if bias else None,
        draw(3 * HIDDEN) if peepholes else None,
    ]
