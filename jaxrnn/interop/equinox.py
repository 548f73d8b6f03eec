"""Networks from and to Equinox.

Equinox has cells and no layers over time, so a network is a chain of modules, from the lowest up,
that its owner scans. Its weights are `(out, in)`, the transposes of ours; the orders of gates are
the same (i, f, g, o and r, z, n), and so is the GRU, which resets after the product.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.cells import GRU, LSTM, Elman, GRUParams, LSTMParams, ResetBeforeGRU
from jaxrnn.errors import ConversionError, MissingExtraError
from jaxrnn.interop.parts import Part, parts
from jaxrnn.interop.weights import belongs, chain, refuse, take
from jaxrnn.networks import (
    Bidirectional,
    Dropout,
    Embedding,
    EmbeddingParams,
    Linear,
    LinearParams,
    Reverse,
    Stack,
)


def import_equinox(module: Any) -> tuple[Layer, Any]:
    """Take over an Equinox module with its weights.

    | Equinox | here |
    |---|---|
    | `LSTMCell(weight_ih, weight_hh, bias)` | `LSTM`: W = weight_ihᵀ, R = weight_hhᵀ, b = bias |
    | `GRUCell(…, bias, bias_n)` | `GRU`: likewise, and bₕ = bias_n |
    | `Linear(weight, bias)` | `Linear`: W = weightᵀ, b = bias |
    | `Embedding(weight)` | `Embedding`: table = weight |
    | `Dropout(p)`, within a chain | `Dropout`: rate = p; it acts where `unroll` is given a key |
    | `Sequential`, tuple or list of these | `stack` |

    It may stand inside `jax.jit` or `jax.grad`: the numbers may be traced.

    Args:
      module: the module, or a tuple or list of modules, each reading what the one before wrote.

    Returns:
      The cell or network, and its parameters in the module's dtypes. Of an Equinox LSTM's state
      `(h, c)`, `LSTMCarry(h, c)` is the carry; of a GRU's `h`, `GRUCarry(h)`.

    Raises:
      ConversionError: if there is no such layer here, or a weight does not have its shape.
      MissingExtraError: if Equinox is not installed.

    Example:
      >>> import equinox, jax, jax.numpy as jnp, jaxrnn
      >>> cell, params = import_equinox(equinox.nn.GRUCell(3, 4, key=jax.random.key(0)))
      >>> cell
      GRU(input_size=3, hidden_size=4)
      >>> carry, ys = jaxrnn.unroll(cell, params, jnp.ones((10, 3)))
    """
    nn = _equinox().nn
    if type(module) in (tuple, list, nn.Sequential):
        return _import_chain(nn, tuple(getattr(module, "layers", module)))
    importers = {
        nn.LSTMCell: _import_lstm,
        nn.GRUCell: _import_gru,
        nn.Linear: _import_linear,
        nn.Embedding: _import_embedding,
    }
    importer = importers.get(type(module))
    if importer is None:
        known = ", ".join(kind.__name__ for kind in [*importers, nn.Dropout, nn.Sequential])
        alone = " outside a chain" if type(module) is nn.Dropout else ""
        raise ConversionError(
            f"{type(module).__name__}{alone} has no counterpart in jaxrnn; expected one of "
            f"equinox.nn's {known}, or a tuple or list of such modules."
        )
    return importer(module)


def export_equinox(network: Layer, params: Any) -> Any:
    """Hand a cell or network over to Equinox, weights included.

    The mapping is that of `import_equinox`, read from right to left.

    Args:
      network: an `LSTM`, `GRU`, `Linear` or `Embedding`, or a `stack` of these and of `Dropout`.
        Noise that Equinox has no module for (`VariationalDropout`, `WeightDrop`, `StateDropout`,
        `UpdateDropout`) stays behind: it acts in training only.
      params: its parameters.

    Returns:
      The module; of a `stack` a tuple of modules, from the lowest up. Scan the cells, `jax.vmap`
      the others. As always in Equinox, `equinox.nn.inference_mode` turns `Dropout` off.

    Raises:
      ConversionError: if Equinox has no such module, or the parameters are not the network's.
      MissingExtraError: if Equinox is not installed.

    Example:
      >>> import jax, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 2))
      >>> lstm, linear = export_equinox(network, network.init(jax.random.key(0)))
      >>> lstm.weight_ih.shape, linear.weight.shape
      ((16, 3), (2, 4))
    """
    equinox = _equinox()
    belongs(network, params)
    modules = tuple(_export(equinox, *part) for part in parts(network, params, keep_dropout=True))
    return modules[0] if len(modules) == 1 and not isinstance(network, Stack) else modules


def _import_chain(nn, modules):
    links: list[Part] = []
    for module in modules:
        if type(module) is nn.Identity:
            continue
        if type(module) is nn.Dropout and links:
            links.append(Part(Dropout(links[-1].layer.output_size, float(module.p)), ()))
        else:
            links.append(Part(*import_equinox(module)))
    return chain(links)


def _import_lstm(module):
    inputs, hidden, bias = module.input_size, module.hidden_size, module.use_bias
    own = _own(module, weight_ih=(4 * hidden, inputs), weight_hh=(4 * hidden, hidden)) | (
        _own(module, bias=(4 * hidden,)) if bias else {}
    )
    return LSTM(inputs, hidden, use_bias=bias), LSTMParams(
        input_kernel=own["weight_ih"].T,
        recurrent_kernel=own["weight_hh"].T,
        bias=own.get("bias"),
    )


def _import_gru(module):
    inputs, hidden, bias = module.input_size, module.hidden_size, module.use_bias
    own = _own(module, weight_ih=(3 * hidden, inputs), weight_hh=(3 * hidden, hidden)) | (
        _own(module, bias=(3 * hidden,), bias_n=(hidden,)) if bias else {}
    )
    return GRU(inputs, hidden, use_bias=bias), GRUParams(
        input_kernel=own["weight_ih"].T,
        recurrent_kernel=own["weight_hh"].T,
        bias=own.get("bias"),
        recurrent_bias=own.get("bias_n"),
    )


def _import_linear(module):
    inputs, outputs, bias = module.in_features, module.out_features, module.use_bias
    if "scalar" in (inputs, outputs):
        raise ConversionError(
            f"Linear({inputs!r}, {outputs!r}) has no counterpart in jaxrnn, whose vectors keep "
            "their axis; give it 1 feature in place of 'scalar'."
        )
    own = _own(module, weight=(outputs, inputs)) | (_own(module, bias=(outputs,)) if bias else {})
    layer = Linear(inputs, outputs, use_bias=bias)
    return layer, LinearParams(kernel=own["weight"].T, bias=own.get("bias"))


def _import_embedding(module):
    tokens, width = module.num_embeddings, module.embedding_size
    own = _own(module, weight=(tokens, width))
    return Embedding(tokens, width), EmbeddingParams(table=own["weight"])


def _own(module, **shapes):
    there = {name: getattr(module, name) for name in shapes}
    there = {name: weight for name, weight in there.items() if weight is not None}
    return take(f"equinox.nn.{type(module).__name__}", there, shapes)


def _export(equinox, layer, params):
    nn = equinox.nn
    if type(layer) is Dropout:
        return nn.Dropout(layer.rate)
    if type(layer) in (LSTM, GRU):
        kind = nn.LSTMCell if type(layer) is LSTM else nn.GRUCell
        sizes = layer.input_size, layer.hidden_size, layer.use_bias
        weights = {"weight_ih": params.input_kernel.T, "weight_hh": params.recurrent_kernel.T}
        if layer.use_bias:
            weights["bias"] = params.bias
        if layer.use_bias and type(layer) is GRU:
            weights["bias_n"] = params.recurrent_bias
    elif type(layer) is Linear:
        kind, sizes = nn.Linear, (layer.input_size, layer.output_size, layer.use_bias)
        weights = {"weight": params.kernel.T}
        if layer.use_bias:
            weights["bias"] = params.bias
    elif type(layer) is Embedding:
        kind, sizes = nn.Embedding, (layer.input_size, layer.output_size)
        weights = {"weight": params.table}
    else:
        refuse(layer, "equinox", _REASONS)
    # Only the make of the module is wanted, not the numbers that it would draw.
    blank = equinox.filter_eval_shape(kind, *sizes, key=jax.random.key(0))
    return equinox.tree_at(
        lambda module: [getattr(module, name) for name in weights],
        blank,
        [jnp.array(weight) for weight in weights.values()],
    )


_ONE_WAY = (
    "its cells read from the start only; export the layers of each direction, and scan one of them "
    "with reverse=True"
)
_REASONS = {
    Elman: "it has no simple recurrent cell",
    ResetBeforeGRU: "equinox.nn.GRUCell resets after the product, this cell before it, and no "
    "weights make the two one function",
    Bidirectional: _ONE_WAY,
    Reverse: _ONE_WAY,
}


def _equinox():
    try:
        import equinox
    except ModuleNotFoundError as error:
        raise MissingExtraError("equinox", extra="equinox") from error
    return equinox
