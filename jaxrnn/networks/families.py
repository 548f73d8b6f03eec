"""One call for a whole network of one kind of cell, in the words of `torch.nn`."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxrnn import checks
from jaxrnn.cell import Layer
from jaxrnn.cells import GRU, LSTM, Elman, ProjectedLSTM
from jaxrnn.networks.bidirectional import bidirectional as both_ways
from jaxrnn.networks.dropout import Dropout
from jaxrnn.networks.stack import Stack, stack
from jaxrnn.wrappers.noise import check_rate


def lstm_network(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    projection_size: int | None = None,
    **cell_options: Any,
) -> Stack:
    """The network of `torch.nn.LSTM`: layers of `LSTM`, both ways if asked, dropout between them.

    It is nothing but `stack`, `bidirectional` and `Dropout`; for other widths, cells or directions
    per layer call these.

    Args:
      input_size: width of x.
      hidden_size: width of c, and of h where there is no projection.
      num_layers: how many layers.
      bidirectional: whether every layer reads both ways, outputs side by side.
      dropout: rate of `Dropout` after every layer but the last.
      projection_size: width of h, less than `hidden_size` (torch's `proj_size`); None for none.
      **cell_options: fields of every cell, such as `use_bias`, `forget_bias`, `recurrent_init`.

    Returns:
      A `Stack`, for `jaxrnn.unroll`.

    Raises:
      TypeError: if a cell has no such option; torch's words for one are translated.
      ValueError: if a size is not positive, the projection not narrower than `hidden_size`, the
        dropout outside [0, 1], or there is dropout but only one layer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.lstm_network(3, 8, num_layers=2, bidirectional=True, dropout=0.1)
      >>> params = network.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((10, 2, 3)), lengths=[10, 7])
      >>> ys.shape
      (10, 2, 16)
    """
    kind = LSTM if projection_size is None else ProjectedLSTM
    _check_options("lstm_network", kind, cell_options, "projection_size")
    if projection_size == 0 and not isinstance(projection_size, bool):
        raise ValueError(
            "lstm_network: projection_size must be a positive integer, got 0; give None for none."
        )

    def cell(width: int) -> Layer:
        if projection_size is None:
            return LSTM(width, hidden_size, **cell_options)
        return ProjectedLSTM(width, hidden_size, projection_size, **cell_options)

    return _layers("lstm_network", cell, input_size, num_layers, bidirectional, dropout)


def gru_network(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    **cell_options: Any,
) -> Stack:
    """The network of `torch.nn.GRU`: layers of `GRU`, both ways if asked, dropout between them.

    Args:
      input_size: width of x.
      hidden_size: width of h.
      num_layers: how many layers.
      bidirectional: whether every layer reads both ways, outputs side by side.
      dropout: rate of `Dropout` after every layer but the last.
      **cell_options: fields of every cell, such as `use_bias` or `recurrent_init`.

    Returns:
      A `Stack`, for `jaxrnn.unroll`.

    Raises:
      TypeError, ValueError: as `lstm_network` does.

    Example:
      >>> gru_network(3, 8, num_layers=2).output_size
      8
    """
    _check_options("gru_network", GRU, cell_options)

    def cell(width: int) -> Layer:
        return GRU(width, hidden_size, **cell_options)

    return _layers("gru_network", cell, input_size, num_layers, bidirectional, dropout)


def elman_network(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    **cell_options: Any,
) -> Stack:
    """The network of `torch.nn.RNN`: layers of `Elman`, both ways if asked, dropout between them.

    Args:
      input_size: width of x.
      hidden_size: width of h.
      num_layers: how many layers.
      bidirectional: whether every layer reads both ways, outputs side by side.
      dropout: rate of `Dropout` after every layer but the last.
      **cell_options: fields of every cell, such as `activation` (torch's `nonlinearity`).

    Returns:
      A `Stack`, for `jaxrnn.unroll`.

    Raises:
      TypeError, ValueError: as `lstm_network` does.

    Example:
      >>> elman_network(3, 8, bidirectional=True).output_size
      16
    """
    _check_options("elman_network", Elman, cell_options)

    def cell(width: int) -> Layer:
        return Elman(width, hidden_size, **cell_options)

    return _layers("elman_network", cell, input_size, num_layers, bidirectional, dropout)


# What torch calls otherwise: the option that has to be there, and what to give instead of a value.
_TORCH: dict[str, tuple[str | None, Callable[[Any], str]]] = {
    "proj_size": (
        "projection_size",
        lambda size: "leave it out" if size == 0 else f"give projection_size={size!r}",
    ),
    "bias": ("use_bias", lambda bias: f"give use_bias={bias!r}"),
    "nonlinearity": (
        "activation",
        lambda name: (
            "give activation="
            + {"relu": "jax.nn.relu", "tanh": "jnp.tanh"}.get(
                str(name), "a function such as jnp.tanh or jax.nn.relu"
            )
        ),
    ),
    "batch_first": (
        None,
        lambda first: (
            "call jaxrnn.unroll(..., time_axis=1)" if first else "leave it out, time comes first"
        ),
    ),
}


def _check_options(name: str, cell: type[Layer], options: dict[str, Any], *own: str) -> None:
    fields = [field.name for field in dataclasses.fields(cell) if not field.name.endswith("_size")]
    known = [*own, *fields]
    for option, value in options.items():
        if option in fields:
            continue
        needs, translate = _TORCH.get(option, ("", None))
        if translate is not None and (needs is None or needs in known):
            raise TypeError(f"{name}: {option}={value!r} is torch's word; here {translate(value)}.")
        raise TypeError(
            f"{name}: {cell.__name__} has no option {option}; it has {', '.join(known)}."
        )


def _layers(
    name: str,
    cell: Callable[[int], Layer],
    input_size: int,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> Stack:
    checks.check_sizes(name, num_layers=num_layers)
    check_rate(name, dropout=dropout)
    checks.check_flags(name, bidirectional=bidirectional)
    if dropout and num_layers == 1:
        raise ValueError(
            f"{name}: dropout={dropout} acts between layers, and num_layers=1 has no between; give "
            "more layers, or put Dropout(width, rate) into a stack where you want it."
        )
    layers: list[Layer] = []
    width = input_size
    for number in range(num_layers):
        layer = both_ways(cell(width)) if bidirectional else cell(width)
        width = layer.output_size
        layers.append(layer)
        if dropout and number < num_layers - 1:
            layers.append(Dropout(width, dropout))
    return stack(*layers)
