"""From torch's state dicts, which name weights and say nothing of the module around them."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jaxrnn.cell import Layer
from jaxrnn.cells import LSTM, Elman, ProjectedLSTM
from jaxrnn.cells.gates import Activation
from jaxrnn.errors import ConversionError
from jaxrnn.interop.torch.arrays import shape_of
from jaxrnn.interop.torch.options import KINDS, Options
from jaxrnn.interop.torch.weights import GATES, read
from jaxrnn.interop.weights import listed
from jaxrnn.networks import Embedding, Linear

_NAME = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,9})(_reverse)?)?")
_FIRST = re.compile(r"(.*\.|)weight_ih(?:_l0)?")
_BLOCKS = {1: "an Elman (torch.nn.RNN)", 3: "a GRU", 4: "an LSTM"}


def import_state_dict(
    state_dict: Mapping[str, Any],
    kind: type[Layer],
    *,
    prefix: str = "",
    activation: Activation | None = None,
    dropout: float = 0.0,
    two_biases: bool = False,
) -> tuple[Layer, Any]:
    """Take over the weights of one torch module, by their names.

    Layers, directions, sizes, biases and the projection are read off names and shapes; what they do
    not tell is an argument. Where the values are arrays, torch is not needed.

    Args:
      state_dict: torch's names to tensors or arrays, as from `module.state_dict()` or
        `read_state_dict`.
      kind: `jaxrnn.LSTM`, `GRU`, `Elman` (torch's RNN), `Embedding` or `Linear`.
      prefix: where in a larger model the module stands, such as "encoder.lstm"; names that begin
        otherwise are other modules'.
      activation: of an `Elman`, which needs it: `jnp.tanh` or `jax.nn.relu`.
      dropout: between the layers of a deep network; torch keeps no record of it.
      two_biases: whether to keep both biases, as in `import_module`.

    Returns:
      The network and its parameters, a copy, in the dtypes they have; a cell where the names are
      those of a Cell module.

    Raises:
      ConversionError: if weights are missing, unknown or of another shape, each of them named, or
        an argument does not fit.

    Example:
      >>> import jaxrnn, numpy as np
      >>> state_dict = {
      ...     "lstm.weight_ih_l0": np.ones((16, 3), "float32"),
      ...     "lstm.weight_hh_l0": np.ones((16, 4), "float32"),
      ...     "head.weight": np.ones((2, 4), "float32"),
      ... }
      >>> network, params = import_state_dict(state_dict, jaxrnn.LSTM, prefix="lstm")
      >>> network
      Stack(layers=(LSTM(input_size=3, hidden_size=4, use_bias=False),))
      >>> import_state_dict(state_dict, jaxrnn.GRU, prefix="lstm")
      Traceback (most recent call last):
      jaxrnn.errors.ConversionError: lstm.weight_hh_l0 ... 4 blocks ... LSTM; a GRU has 3...
    """
    own, prefix = _under(state_dict, prefix)
    shapes = {
        name: shape_of(f"state dict: {prefix + name!r}", value) for name, value in own.items()
    }
    try:
        if kind in (Embedding, Linear):
            _refuse(kind, activation=activation is not None, dropout=dropout != 0)
            network = _pointwise(kind, shapes, prefix)
        elif kind in KINDS:
            _check_activation(kind, activation)
            options = _options(kind, shapes, prefix)._replace(
                activation=activation, dropout=dropout
            )
            network = options.network()
            if "weight_ih" in shapes or "weight_hh" in shapes:  # A Cell has no layers to number.
                network = network.layers[0]
        else:
            raise ConversionError(
                f"kind must be jaxrnn.LSTM, GRU, Elman, Embedding or Linear, got {kind!r}."
            )
    except ConversionError:
        raise
    except (TypeError, ValueError) as error:
        raise ConversionError(f"state dict: {error}") from error
    named = {prefix + name: value for name, value in own.items()}
    return read("state dict", network, named, prefix, two_biases)


def _under(state_dict, prefix):
    """What stands under a prefix, by what follows it; and the prefix, which ends in a dot."""
    if not isinstance(state_dict, Mapping) or not all(isinstance(n, str) for n in state_dict):
        raise ConversionError(
            f"expected a mapping from names to tensors, got a value of type "
            f"{type(state_dict).__name__}; for a module call import_module, for a file "
            "read_state_dict first."
        )
    prefix = f"{prefix.removesuffix('.')}." if prefix else ""
    own = {n.removeprefix(prefix): value for n, value in state_dict.items() if n.startswith(prefix)}
    if not own:
        raise ConversionError(
            f"no name in the state dict begins with {prefix!r}; there are "
            f"{listed(map(repr, state_dict)) or 'none'}."
        )
    return own, prefix


def _check_activation(kind, activation):
    if kind is not Elman:
        _refuse(kind, activation=activation is not None)
    elif activation is None:
        raise ConversionError(
            "a state dict does not tell which activation torch.nn.RNN had: give "
            "activation=jnp.tanh (torch's default) or jax.nn.relu."
        )


def _refuse(kind, **given):
    for name, is_given in given.items():
        if is_given:
            raise ConversionError(f"{kind.__name__} has no {name}; leave the argument away.")


def _pointwise(kind, shapes, prefix):
    shape = shapes.get("weight", ())
    if len(shape) != 2:
        raise ConversionError(
            f"expected '{prefix}weight' with two axes for a {kind.__name__}, got "
            f"{shape or 'none'}; there are {listed(repr(prefix + name) for name in shapes)}."
        )
    if kind is Embedding:
        return Embedding(*shape)
    return Linear(shape[1], shape[0], use_bias="bias" in shapes)


def _options(kind, shapes, prefix):
    """The options of the module whose weights are named so.

    Where names contradict each other, of the module that most of them belong to: what does not fit
    it is named afterwards.
    """
    found = {name: match for name in shapes if (match := _NAME.fullmatch(name))}
    if not any(match[1] in ("weight_ih", "weight_hh") for match in found.values()):
        raise ConversionError(_nothing_recurrent(shapes, prefix))
    numbers = {name: int(match[2] or 0) for name, match in found.items()}
    deepest = max(numbers, key=numbers.__getitem__)
    if numbers[deepest] >= len(shapes):
        raise ConversionError(
            f"{prefix}{deepest} is of layer {numbers[deepest]}, and among as few weights as "
            f"{len(shapes)} layers below it are missing."
        )

    def most_common(names, axis):
        sizes = [shapes[n][axis] for n, m in found.items() if m[1] in names and shapes[n][axis:]]
        return Counter(sizes).most_common(1)[0][0] if sizes else 0

    projection = most_common(["weight_hr"], 0)
    if kind is ProjectedLSTM and not projection:
        raise ConversionError(f"{prefix}weight_hr_l0 is missing, which a ProjectedLSTM has.")
    if kind not in (LSTM, ProjectedLSTM):
        projection = 0  # So that it is named as unknown.
    rows = most_common(["weight_ih", "weight_hh", "bias_ih", "bias_hh"], 0)
    if not projection:
        _check_blocks(kind, rows, most_common(["weight_hh"], 1), prefix, found)
    lowest = [n for n, m in found.items() if m[1] == "weight_ih" and not numbers[n]]
    return Options(
        KINDS[kind],
        next((shapes[n][1] for n in lowest if len(shapes[n]) == 2), 1),
        rows // GATES[kind],
        num_layers=numbers[deepest] + 1,
        use_bias=any(match[1].startswith("bias") for match in found.values()),
        bidirectional=any(match[3] for match in found.values()),
        projection_size=projection or None,
    )


def _nothing_recurrent(shapes, prefix):
    places = sorted({match[1] for name in shapes if (match := _FIRST.fullmatch(name))})
    return f"no weights of a recurrent layer stand under {prefix!r}; " + (
        f"give one of these as prefix: {listed(repr(prefix + place) for place in places)}."
        if places
        else f"there are {listed(repr(prefix + name) for name in shapes)}."
    )


def _check_blocks(kind, rows, columns, prefix, found):
    """Whether there are as many blocks of rows as this kind has gates."""
    blocks, rest = divmod(rows, max(columns, 1))
    if columns and not rest and blocks in _BLOCKS and blocks != GATES[kind]:
        name = next(n for n, match in found.items() if match[1] == "weight_hh")
        raise ConversionError(
            f"{prefix}{name} has {rows} rows for {columns} columns, the {blocks} blocks of "
            f"{_BLOCKS[blocks]}; {_BLOCKS[GATES[kind]]} has {GATES[kind]}: give another kind."
        )
