"""`flax.nnx`: modules that hold their parameters, from and to networks with parameters."""

import functools
from typing import Any

from flax import nnx

from jaxrnn.cell import Layer
from jaxrnn.cells import GRU, LSTM, Elman
from jaxrnn.errors import ConversionError
from jaxrnn.interop.flax import layout
from jaxrnn.interop.flax.dialect import Dialect, Kind, elman, embedding, gru, linear, lstm
from jaxrnn.interop.flax.layout import Arrays
from jaxrnn.interop.flax.reading import read_module
from jaxrnn.interop.flax.writing import to_module
from jaxrnn.interop.parts import Part
from jaxrnn.networks import Embedding, Linear


def import_nnx(module: nnx.Module) -> Part:
    """A network of jaxrnn that computes what a module of nnx computes.

    The table of `import_linen`, with `nnx.Linear` for `Dense`. Of a GRU, `recurrent_bias` is zero:
    `nnx.GRUCell` has no bias within the reset gate.

    Args:
      module: a module of the table; no subclass, which may compute something else.

    Returns:
      `(layer, params)`: a cell or a network, and a copy of its parameters in the dtype they had.

    Raises:
      ConversionError: if jaxrnn has no such layer, or a parameter was replaced by one that does not
        fit.

    Example:
      >>> import jax.numpy as jnp, jaxrnn
      >>> rngs = nnx.Rngs(0)
      >>> module = nnx.Sequential(nnx.Embed(7, 3, rngs=rngs), nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs)))
      >>> network, params = import_nnx(module)
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.zeros((2, 10), int), time_axis=1)
      >>> network.layers[1], ys.shape
      (GRU(input_size=3, hidden_size=4), (2, 10, 4))
    """
    if not isinstance(module, nnx.Module):
        raise ConversionError(
            f"import_nnx: expected a module of flax.nnx, got a value of type "
            f"{type(module).__name__}; modules of flax.linen go through import_linen."
        )
    state = nnx.to_flat_state(nnx.state(module, nnx.Param))
    arrays = Arrays("import_nnx", {path: _value(param) for path, param in state})
    return read_module(_NNX, arrays, module)


def export_nnx(
    network: Layer, params: Any, *, lstm_cell: type[nnx.Module] = nnx.OptimizedLSTMCell
) -> nnx.Module:
    """A module of nnx that computes what a network of jaxrnn computes without a key.

    The table of `import_linen`, from right to left; a cell is wrapped in an `RNN`. Flax's cells
    always have a bias: that of a cell without one is zero there.

    Args:
      network: a cell or a network.
      params: its parameters.
      lstm_cell: what an LSTM becomes, `nnx.OptimizedLSTMCell` or `nnx.LSTMCell`: the same function,
        in one matrix or in four.

    Returns:
      The module, which reads `[batch, time, features]`.

    Raises:
      ConversionError: if Flax has no such module (a GRU whose `recurrent_bias` is not zero, for
        one), or the parameters are not the network's.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.lstm_network(3, 4, num_layers=2, bidirectional=True)
      >>> module = export_nnx(network, network.init(jax.random.key(0)))
      >>> module(jnp.ones((2, 10, 3))).shape
      (2, 10, 8)
    """
    dialect = _NNX
    if lstm_cell is nnx.LSTMCell:
        dialect = dialect._replace(
            layouts={**dialect.layouts, LSTM: layout.NNX_LSTM},
            build=functools.partial(_build, lstm_cell=lstm_cell),
        )
    elif lstm_cell is not nnx.OptimizedLSTMCell:
        raise ConversionError(
            f"export_nnx: lstm_cell is {lstm_cell!r}; expected nnx.OptimizedLSTMCell or "
            "nnx.LSTMCell."
        )
    return to_module(dialect, "export_nnx", network, params).module


def _value(param):
    try:
        return param[...]
    except TypeError:  # It holds no array: `Arrays` says so, with its name.
        return param


def _build(layer, nested, dtype, lstm_cell=nnx.OptimizedLSTMCell):
    zeros = nnx.initializers.zeros_init()  # What is drawn is replaced: draw what costs nothing.
    options: dict[str, Any] = {"rngs": nnx.Rngs(0), "param_dtype": dtype}
    match layer:
        case Linear():
            sizes = (layer.input_size, layer.output_size)
            module = nnx.Linear(*sizes, use_bias=layer.use_bias, kernel_init=zeros, **options)
        case Embedding():
            module = nnx.Embed(layer.input_size, layer.output_size, embedding_init=zeros, **options)
        case _:
            options |= {"kernel_init": zeros, "recurrent_kernel_init": zeros}
            if isinstance(layer, Elman):  # Its dtype is float32 unless told otherwise.
                options |= {"activation_fn": layer.activation, "dtype": dtype}
            kind = {LSTM: lstm_cell, GRU: nnx.GRUCell, Elman: nnx.SimpleCell}[type(layer)]
            module = kind(layer.input_size, layer.hidden_size, **options)
    _fill(module, nested)
    return module


def _fill(module, nested):
    for name, value in nested.items():
        if isinstance(value, dict):
            _fill(getattr(module, name), value)
        else:
            setattr(module, name, nnx.Param(value))


_NNX = Dialect(
    kinds={
        nnx.LSTMCell: Kind(LSTM, lstm("hidden_features"), layout.NNX_LSTM),
        nnx.OptimizedLSTMCell: Kind(LSTM, lstm("hidden_features"), layout.NNX_FUSED_LSTM),
        nnx.GRUCell: Kind(GRU, gru("hidden_features"), layout.NNX_FUSED),
        nnx.SimpleCell: Kind(Elman, elman("hidden_features"), layout.NNX_FUSED),
        nnx.Linear: Kind(Linear, linear("out_features"), layout.DENSE),
        nnx.Embed: Kind(Embedding, embedding, layout.EMBED),
    },
    rnn=nnx.RNN,
    bidirectional=nnx.Bidirectional,
    sequential=nnx.Sequential,
    chain=lambda modules: nnx.Sequential(*modules),
    dropout=nnx.Dropout,
    inside=lambda module: [each for each in vars(module).values() if isinstance(each, nnx.Module)],
    place=lambda number: ("layers", number),
    state_axes=nnx.StateAxes({...: nnx.Carry}),
    build=_build,
    layouts={
        LSTM: layout.NNX_FUSED_LSTM,
        GRU: layout.NNX_FUSED,
        Elman: layout.NNX_FUSED,
        Linear: layout.DENSE,
        Embedding: layout.EMBED,
    },
)
