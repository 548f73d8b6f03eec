"""A graph read node by node, until its output is a network."""

from typing import Any, NamedTuple

import numpy as np

from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx import glue, layers
from jaxrnn.interop.onnx.recurrent import CARRIES, bound_rows, recurrent
from jaxrnn.interop.onnx.values import FEATURES, Lengths, Row, Sequence, States

_OPERATORS = glue.OPERATORS | layers.OPERATORS | dict.fromkeys(CARRIES, recurrent)
# What hands its first input on, and Concat all of them.
_PASSING = ("Cast", "Concat", "Identity", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")


class Input(NamedTuple):
    """An input of the graph: its name, and for each axis the size or 0."""

    name: str
    shape: tuple[int, ...]
    is_integer: bool


class Node(NamedTuple):
    """A node, with its attributes as plain values."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Walk:
    """Follows values through nodes, in the order in which they stand.

    Attributes:
      values: what each tensor is, by name.
      xs: the input that is the sequence.
      time: which axis of it is time, None until a recurrent node says so.
      lengths: those of every recurrent node; None before the first.
    """

    def __init__(self, inputs: list[Input], constants: dict[str, np.ndarray], nodes: list[Node]):
        """Find out what each input is for."""
        self.values: dict[str, Any] = dict(constants)
        self.xs: Input | None = None
        self.time: int | None = None
        self.lengths: Any = None
        roles = _roles(nodes)
        for graph_input in inputs:
            if graph_input.name not in constants:
                self.values[graph_input.name] = self._meaning(graph_input, roles)
        if self.xs is None:
            raise ConversionError("the graph has no input that is a sequence.")

    def _meaning(self, given, roles):
        role = roles.get(given.name, "xs")
        if role == "lengths":
            return Lengths(given.name, None)
        if role != "xs":
            return _input_states(given, rows_first=role == "states")
        if self.xs is not None:
            raise ConversionError(
                f"the inputs {self.xs.name!r:.60} and {given.name!r:.60} are both sequences; one "
                "is expected, beside lengths and initial states."
            )
        self.xs = given
        axes = tuple(range(len(given.shape)))
        return Sequence(axes, tokens=True) if given.is_integer else Sequence((*axes[:-1], FEATURES))

    def read(self, node: Node) -> None:
        """Take one node.

        Raises:
          ConversionError: if it is nothing that a network of this library does.
        """
        read = _OPERATORS.get(node.operator)
        if read is None:
            raise ConversionError(f"expected one of {', '.join(sorted(_OPERATORS))}.")
        for name in node.inputs:
            if name and name not in self.values:
                raise ConversionError(f"its input {name!r:.60} comes from nowhere.")
        given = [self.values[name] if name else None for name in node.inputs]
        results = read(self, node, *given)
        results = results if isinstance(results, list) else [results]
        for name in node.outputs:
            if name and name in self.values:
                raise ConversionError(f"its output {name!r:.60} has that name twice.")
        self.values.update(zip(node.outputs, results, strict=False))


def _roles(nodes):
    """What inputs are for: lengths and initial states, found by going up from where these enter."""
    makers = {output: node for node in nodes for output in node.outputs}
    roles = {}
    for node in nodes:
        states = "batch first" if node.attributes.get("layout") == 1 else "states"
        recurrent = ((4, "lengths"), (5, states), (6, states))
        # Outputs of padding become zero where instants are not less than lengths.
        compared = ((1, "lengths"),) if node.operator == "Less" else ()
        for place, role in recurrent if node.operator in CARRIES else compared:
            names, seen = list(node.inputs[place : place + 1]), set()
            while names:
                name = names.pop()
                if name in seen:
                    continue
                seen.add(name)
                roles.setdefault(name, role)
                maker = makers.get(name)
                if maker is not None and maker.operator in _PASSING:
                    names += maker.inputs if maker.operator == "Concat" else maker.inputs[:1]
    return roles


def _input_states(given, rows_first):
    if len(given.shape) == 2:
        return States((Row("input", given.name),), ("batch", FEATURES))
    if len(given.shape) != 3:
        raise ConversionError(
            f"the initial state {given.name!r:.60} has {len(given.shape)} axes; expected 2 or 3."
        )
    axes = ("rows", "batch", FEATURES) if rows_first else ("batch", "rows", FEATURES)
    axis = axes.index("rows")
    bound_rows(given.shape[axis])
    rows = range(given.shape[axis])
    return States(tuple(Row("input", given.name, index=(axis, row)) for row in rows), axes)
