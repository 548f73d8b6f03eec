"""`flax.linen`: modules with variables beside them, from and to networks with parameters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import linen as nn
from flax import traverse_util

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


class LinenModel(NamedTuple):
    """A module, and what its `apply` takes: `module.apply(variables, xs)`."""

    module: nn.Module
    variables: dict[str, Any]


def import_linen(module: nn.Module, variables: Mapping[str, Any]) -> Part:
    """A network of jaxrnn that computes what a module of linen computes.

        flax                                   jaxrnn
        LSTMCell, OptimizedLSTMCell            LSTM
        SimpleCell (residual: R + 1)           Elman
        GRUCell                                GRU
        RNN(cell)                              the cell
        RNN(cell, reverse, keep_order)         reverse(cell)
        Bidirectional(RNN(a), RNN(b), merge)   bidirectional(a, b, merge)
        Embed, Dense, Dropout                  Embedding, Linear, Dropout
        Sequential([...])                      stack(...)

    Where time stands is for the caller to say: what the module reads as `[batch, time, features]`,
    `jaxrnn.unroll` reads with `time_axis=1`. Options that change nothing in the function
    (initializers, `unroll`, `return_carry`) are left behind; all others are taken over or refused.

    Args:
      module: one of the above; no subclass, which may compute something else.
      variables: as from `module.init`: `{"params": …}`.

    Returns:
      `(layer, params)`: a cell or a network, and its parameters in the dtype they had.

    Raises:
      ConversionError: if jaxrnn has no such layer, or the variables are not the module's.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> module = nn.RNN(nn.OptimizedLSTMCell(4))
      >>> xs = jnp.ones((2, 10, 3), jnp.float32)  # [batch, time, features]
      >>> network, params = import_linen(module, module.init(jax.random.key(0), xs))
      >>> carry, ys = jaxrnn.unroll(network, params, xs, time_axis=1)
      >>> network, ys.shape
      (LSTM(input_size=3, hidden_size=4), (2, 10, 4))
    """
    if not isinstance(module, nn.Module):
        raise ConversionError(
            f"import_linen: expected a module of flax.linen, got a value of type "
            f"{type(module).__name__}; the order is import_linen(module, variables)."
        )
    arrays = Arrays("import_linen", _flat(variables))
    return read_module(_LINEN, arrays, module)


def export_linen(network: Layer, params: Any) -> LinenModel:
    """A module of linen that computes what a network of jaxrnn computes without a key.

    The table of `import_linen`, from right to left; an LSTM becomes an `OptimizedLSTMCell`, whose
    parameters `LSTMCell` takes too, and a cell is wrapped in an `RNN`. Flax's cells always have a
    bias: that of a cell without one is zero there.

    Args:
      network: a cell or a network.
      params: its parameters.

    Returns:
      `(module, variables)`; the module reads `[batch, time, features]`.

    Raises:
      ConversionError: if Flax has no such module, or the parameters are not the network's.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.GRU(3, 4)), jaxrnn.Linear(8, 2))
      >>> module, variables = export_linen(network, network.init(jax.random.key(0)))
      >>> module.apply(variables, jnp.ones((2, 10, 3))).shape
      (2, 10, 2)
    """
    module, nested = to_module(_LINEN, "export_linen", network, params)
    return LinenModel(module, {"params": nested})


def _flat(variables):
    if not isinstance(variables, Mapping) or (variables and "params" not in variables):
        raise ConversionError(
            "import_linen: the variables have no collection 'params'; expected {'params': …}, as "
            "from module.init."
        )
    others = [name for name, held in variables.items() if name != "params" and held]
    if others:
        raise ConversionError(
            f"import_linen: the variables have the collection '{others[0]}', which no layer of "
            "jaxrnn knows; expected 'params' only."
        )
    # Partitioned parameters stand in boxes that say how.
    return traverse_util.flatten_dict(dict(nn.unbox(variables.get("params", {}))))


def _build(layer, nested, dtype):
    del nested  # Beside the module, in linen.
    match layer:
        case Linear():
            return nn.Dense(layer.output_size, use_bias=layer.use_bias, param_dtype=dtype)
        case Embedding():
            return nn.Embed(layer.input_size, layer.output_size, param_dtype=dtype)
        case Elman():
            options = {"activation_fn": layer.activation, "param_dtype": dtype}
            return nn.SimpleCell(layer.hidden_size, **options)
        case LSTM():
            return nn.OptimizedLSTMCell(layer.hidden_size, param_dtype=dtype)
    return nn.GRUCell(layer.hidden_size, param_dtype=dtype)


_LINEN = Dialect(
    kinds={
        nn.LSTMCell: Kind(LSTM, lstm("features"), layout.LINEN_LSTM),
        nn.OptimizedLSTMCell: Kind(LSTM, lstm("features"), layout.LINEN_LSTM),
        nn.GRUCell: Kind(GRU, gru("features"), layout.LINEN_GRU),
        nn.SimpleCell: Kind(Elman, elman("features"), layout.LINEN_SIMPLE),
        nn.Dense: Kind(Linear, linear("features"), layout.DENSE),
        nn.Embed: Kind(Embedding, embedding, layout.EMBED),
    },
    rnn=nn.RNN,
    bidirectional=nn.Bidirectional,
    sequential=nn.Sequential,
    chain=nn.Sequential,
    dropout=nn.Dropout,
    inside=lambda module: (),
    place=lambda number: (f"layers_{number}",),
    state_axes=None,
    build=_build,
    layouts={
        LSTM: layout.LINEN_LSTM,
        GRU: layout.LINEN_GRU,
        Elman: layout.LINEN_SIMPLE,
        Linear: layout.DENSE,
        Embedding: layout.EMBED,
    },
)
