"""One recurrent node and one cell: which of ONNX's weights and attributes are which of ours.

    ONNX                                  jaxrnn
    RNN  W, R, Wb + Rb                    Elman         Wᵀ, Rᵀ, b
    LSTM gates i, o, f, c; P: i, o, f     LSTM          gates i, f, g, o; OnnxLSTM: p: i, f, o
    GRU  gates z, r, h                    GRU           gates r, z, n; linear_before_reset=1
                                          ResetBeforeGRU               linear_before_reset=0

Wb and Rb are added, but for the n of a GRU with linear_before_reset=1, whose Rb is bₕ. Written are
Wb = b and Rb = 0.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Cell
from jaxrnn.cells import (
    GRU,
    LSTM,
    Elman,
    ElmanParams,
    GRUParams,
    LSTMParams,
    ProjectedLSTM,
    ResetBeforeGRU,
    ResetBeforeGRUParams,
)
from jaxrnn.errors import ConversionError
from jaxrnn.interop.gates import reorder
from jaxrnn.interop.onnx.activations import OnnxActivation, parse_activations
from jaxrnn.interop.onnx.cells import (
    SIGMOID,
    TANH,
    OnnxGRU,
    OnnxGRUParams,
    OnnxLSTM,
    OnnxLSTMParams,
)
from jaxrnn.wrappers import Zoneout

DIRECTIONS = ("forward", "reverse", "bidirectional")
_ACTIVATIONS = {
    "RNN": ["Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ATTRIBUTES = {
    "activation_alpha": list,
    "activation_beta": list,
    "activations": list,
    "clip": float,
    "direction": str,
    "hidden_size": int,
    "layout": int,
}
_OWN_ATTRIBUTES = {
    "RNN": {},
    "GRU": {"linear_before_reset": int},
    "LSTM": {"input_forget": int},
}
# What the activation of an `Elman` is there, and the other way round.
_WRITTEN = {
    jnp.tanh: OnnxActivation("Tanh"),
    jax.nn.relu: OnnxActivation("Relu"),
    jax.nn.sigmoid: OnnxActivation("Sigmoid"),
    jax.nn.softplus: OnnxActivation("Softplus"),
    jax.nn.elu: OnnxActivation("Elu", alpha=1.0),
    jax.nn.leaky_relu: OnnxActivation("LeakyRelu", alpha=0.01),
}
_PLAIN = {activation: function for function, activation in _WRITTEN.items()}


class Weights(NamedTuple):
    """W, R, B and P of a node, `[num_directions, …]`; B and P may be None."""

    input: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray | None = None
    peepholes: np.ndarray | None = None


class Recurrence(NamedTuple):
    """What a node is: one cell with parameters per direction, and how it reads."""

    cells: tuple[Cell, ...]
    params: tuple[Any, ...]
    direction: str
    layout: int


class Written(NamedTuple):
    """What a cell is in ONNX: operator, attributes, and the weights of ONE direction."""

    operator: str
    attributes: dict[str, Any]
    weights: Weights


def read_node(operator: str, attributes: Mapping[str, Any], weights: Weights) -> Recurrence:
    """The cells of an RNN, GRU or LSTM node.

    Args:
      operator: its `op_type`.
      attributes: all of its attributes, strings decoded.
      weights: its constant inputs.

    Returns:
      The library's own cells where the attributes are plain, `OnnxLSTM` and `OnnxGRU` elsewhere.

    Raises:
      ConversionError: if an attribute is not known or the shapes do not belong together.
    """
    known = _ATTRIBUTES | _OWN_ATTRIBUTES[operator]
    for name, value in attributes.items():
        if not isinstance(value, known.get(name, ())):
            raise ConversionError(f"{operator} has no attribute {name:.40}={value!r:.40}.")
    direction = attributes.get("direction", "forward")
    if direction not in DIRECTIONS:
        raise ConversionError(
            f"direction is {direction!r:.40}; expected one of {', '.join(DIRECTIONS)}."
        )
    layout = attributes.get("layout", 0)
    if layout not in (0, 1):
        raise ConversionError(f"layout is {layout}; expected 0 or 1.")
    count = 2 if direction == "bidirectional" else 1
    _check_shapes(operator, attributes, weights, count)
    activations = _activations(operator, attributes, count)
    read = {"RNN": _read_rnn, "GRU": _read_gru, "LSTM": _read_lstm}[operator]
    pairs = [
        read(attributes, _direction(weights, place), activations[place]) for place in range(count)
    ]
    cells, params = zip(*pairs, strict=True)
    return Recurrence(cells, params, direction, layout)


def write_cell(cell: Cell, params: Any) -> Written:
    """What a cell is as a node of one direction.

    Args:
      cell: one of the library's cells that ONNX can express, or one of `jaxrnn.interop.onnx`.
      params: its parameters.

    Returns:
      Operator, attributes but `direction`, and weights without the axis of directions.

    Raises:
      ConversionError: if ONNX has no such cell.
    """
    params = jax.tree.map(np.asarray, params)
    match cell:
        case Elman():
            attributes = _write_activations([_written_activation(cell)], ["Tanh"])
            return _written("RNN", attributes, cell, params, "h", "h")
        case LSTM():
            return _written("LSTM", {}, cell, params, "ifgo", "iofg")
        case OnnxLSTM():
            activations = [
                cell.gate_activation,
                cell.candidate_activation,
                cell.output_activation,
            ]
            attributes = _write_activations(activations, _ACTIVATIONS["LSTM"])
            attributes |= {"input_forget": 1} if cell.coupled else {}
            return _written("LSTM", attributes, cell, params, "ifgo", "iofg")
        case GRU():
            return _written("GRU", {"linear_before_reset": 1}, cell, params, "rzn", "zrn")
        case ResetBeforeGRU():
            return _written("GRU", {}, cell, params, "rzn", "zrn")
        case OnnxGRU():
            activations = [cell.gate_activation, cell.candidate_activation]
            attributes = _write_activations(activations, _ACTIVATIONS["GRU"])
            attributes |= {"linear_before_reset": 1} if cell.reset_after else {}
            return _written("GRU", attributes, cell, params, "rzn", "zrn")
    reason = "they have no such cell"
    if isinstance(cell, ProjectedLSTM):
        reason = "its LSTM has no projection"
    elif isinstance(cell, Zoneout):
        reason = "they cannot mix the new state with the old one"
    raise ConversionError(f"{cell!r} is none of ONNX's RNN, GRU and LSTM: {reason}.")


def _check_shapes(operator, attributes, weights, count):
    gates = _GATES[operator]
    shape = weights.recurrent.shape
    hidden = attributes.get("hidden_size", shape[2] if len(shape) == 3 else 0)
    width = weights.input.shape[2] if weights.input.ndim == 3 else 0
    expected = {
        "W": (weights.input, (count, gates * hidden, width)),
        "R": (weights.recurrent, (count, gates * hidden, hidden)),
        "B": (weights.bias, (count, 2 * gates * hidden)),
        "P": (weights.peepholes, (count, 3 * hidden)),
    }
    if operator != "LSTM" and weights.peepholes is not None:
        raise ConversionError(f"{operator} has no peepholes.")
    for name, (array, wanted) in expected.items():
        if array is not None and (array.shape != wanted or 0 in wanted):
            raise ConversionError(f"{name} has shape {array.shape}; expected {wanted}.")
        if array is not None and array.dtype != weights.input.dtype:
            raise ConversionError(f"{name} has dtype {array.dtype}, but W {weights.input.dtype}.")


def _activations(operator, attributes, count):
    """The activations of each direction, behind the node's clip."""
    default = _ACTIVATIONS[operator]
    names = attributes.get("activations", default * count)
    if operator == "RNN" and count == 1 and names == ["Tanh", "Tanh"]:
        names = ["Tanh"]  # the specification's own default, whatever the direction
    if len(names) != len(default) * count:
        raise ConversionError(
            f"there are {len(names)} activations; expected {len(default)} per direction, so "
            f"{len(default) * count}."
        )
    alphas, betas = (attributes.get(f"activation_{x}", []) for x in ("alpha", "beta"))
    parsed = parse_activations(names, alphas, betas)
    clip = attributes.get("clip")
    if clip is not None:
        if not 0 < clip < float("inf"):
            raise ConversionError(f"clip is {clip}; expected a positive number.")
        # The last activation of an LSTM is not clipped in any runtime; see `OnnxLSTM`.
        parsed = [
            activation
            if operator == "LSTM" and place % 3 == 2
            else OnnxActivation(activation.kind, activation.alpha, activation.beta, clip)
            for place, activation in enumerate(parsed)
        ]
    return [parsed[place * len(default) :][: len(default)] for place in range(count)]


def _direction(weights, place):
    return Weights(*(None if array is None else array[place] for array in weights))


def _read_rnn(attributes, weights, activations):
    del attributes
    (activation,) = activations
    hidden, width = weights.input.shape
    cell = Elman(
        width,
        hidden,
        activation=_PLAIN.get(activation, activation),
        use_bias=weights.bias is not None,
    )
    return cell, ElmanParams(*_kernels(weights, "h", "h"))


def _read_lstm(attributes, weights, activations):
    hidden, width = weights.recurrent.shape[1], weights.input.shape[1]
    coupled = bool(attributes.get("input_forget", 0))
    with_bias, with_peepholes = weights.bias is not None, weights.peepholes is not None
    kernels = _kernels(weights, "iofg", "ifgo")
    if activations == [SIGMOID, TANH, TANH] and not coupled and not with_peepholes:
        return LSTM(width, hidden, use_bias=with_bias), LSTMParams(*kernels)
    peepholes = reorder(weights.peepholes, "iof", "ifo") if with_peepholes else None
    cell = OnnxLSTM(
        width,
        hidden,
        *activations,
        coupled=coupled,
        use_bias=with_bias,
        use_peepholes=with_peepholes,
    )
    return cell, OnnxLSTMParams(*kernels, peepholes)


def _read_gru(attributes, weights, activations):
    hidden, width = weights.recurrent.shape[1], weights.input.shape[1]
    reset_after = bool(attributes.get("linear_before_reset", 0))
    with_bias = weights.bias is not None
    kernels = _kernels(weights, "zrn", "rzn")
    recurrent_bias = None
    if reset_after and with_bias:
        recurrent_bias = weights.bias[5 * hidden :]
        kernels[2][2 * hidden :] = weights.bias[2 * hidden : 3 * hidden]
    if activations != [SIGMOID, TANH]:
        cell = OnnxGRU(width, hidden, *activations, reset_after=reset_after, use_bias=with_bias)
        return cell, OnnxGRUParams(*kernels, recurrent_bias)
    if reset_after:
        return GRU(width, hidden, use_bias=with_bias), GRUParams(*kernels, recurrent_bias)
    return ResetBeforeGRU(width, hidden, use_bias=with_bias), ResetBeforeGRUParams(*kernels)


def _kernels(weights, source, target):
    """Wᵀ, Rᵀ and Wb + Rb, gates in our order."""
    kernels = [
        np.ascontiguousarray(reorder(kernel.T, source, target))
        for kernel in (weights.input, weights.recurrent)
    ]
    if weights.bias is None:
        return [*kernels, None]
    of_input, of_recurrent = np.split(weights.bias, 2)
    # Not added where there is nothing to add: −0 + 0 would be 0.
    bias = np.where(of_recurrent == 0, of_input, of_input + of_recurrent)
    return [*kernels, np.array(reorder(bias, source, target))]


def _written(operator, attributes, cell, params, source, target):
    bias = peepholes = None
    if params.bias is not None:
        bias = reorder(params.bias, source, target)
        of_recurrent = np.zeros_like(bias)
        if getattr(params, "recurrent_bias", None) is not None:
            of_recurrent[2 * cell.hidden_size :] = params.recurrent_bias
        bias = np.concatenate([bias, of_recurrent])
    if getattr(params, "peepholes", None) is not None:
        peepholes = reorder(params.peepholes, "ifo", "iof")
    return Written(
        operator,
        {"hidden_size": cell.hidden_size} | attributes,
        Weights(
            reorder(params.input_kernel, source, target).T,
            reorder(params.recurrent_kernel, source, target).T,
            bias,
            peepholes,
        ),
    )


def _written_activation(cell):
    if isinstance(cell.activation, OnnxActivation):
        return cell.activation
    try:
        return _WRITTEN[cell.activation]
    except KeyError:
        known = ", ".join(sorted(function.__name__ for function in _WRITTEN))
        raise ConversionError(
            f"{cell!r}: ONNX has no such activation; it has {known} and those of OnnxActivation."
        ) from None


def _write_activations(activations, default):
    """Attributes for the activations, where they are not the default ones."""
    clips = {activation.clip for activation in activations[:2]}
    if len(clips) > 1 or any(activation.clip is not None for activation in activations[2:]):
        raise ConversionError(
            f"{activations}: a node of ONNX has one clip, for all activations but the output's."
        )
    attributes = {}
    if [activation.kind for activation in activations] != default:
        attributes["activations"] = [activation.kind for activation in activations]
    for name in ("alpha", "beta"):
        values = [a.takes[name] for a in activations if name in a.takes]
        if values:
            attributes[f"activation_{name}"] = values
    (clip,) = clips
    return attributes | ({} if clip is None else {"clip": clip})
