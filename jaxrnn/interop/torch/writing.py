"""To torch."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxrnn.cell import Layer
from jaxrnn.cells import ProjectedLSTM, ResetBeforeGRU
from jaxrnn.interop.parts import Part, parts
from jaxrnn.interop.torch.arrays import as_tensor, library, numbers_of
from jaxrnn.interop.torch.options import Options, options_of
from jaxrnn.interop.torch.weights import write
from jaxrnn.interop.weights import belongs, refuse
from jaxrnn.networks import (
    Bidirectional,
    BidirectionalParams,
    Dropout,
    Embedding,
    Linear,
    Reverse,
    Stack,
    StackParams,
)


@dataclasses.dataclass(frozen=True)
class _Module:
    """What is one module in torch.

    Attributes:
      parts: its layers: one, or those of a recurrent module.
      options: those of a recurrent module.
      inside: the modules of a chain, in place of layers.
    """

    parts: tuple[Part, ...] = ()
    options: Options | None = None
    inside: tuple["_Module", ...] = ()

    @property
    def rate(self) -> float | None:
        """The rate of a `Dropout`; None for anything else."""
        layer = self.parts[0].layer
        return layer.rate if type(layer) is Dropout else None


def export_state_dict(network: Layer, params: Any) -> dict[str, Any]:
    """The weights of a network by torch's names, as tensors that torch loads with `strict=True`.

    The mapping is that of `import_module`, read from right to left. Alike layers on top of each
    other are one recurrent module, whose names end in "_l0", "_l1" …; a cell is one of one layer.
    Of unlike layers, as of an embedding below an LSTM, names begin with "0.", "1." …, as those of
    `torch.nn.Sequential` and `ModuleList` do; a stack within a stack is one of them. A module of
    your own has names of its own: export its layers one by one, or rename.

    Of torch's two biases, the second is zero where the network has one; a `SplitBias` has both.

    Args:
      network: an `Elman` with tanh or relu, an `LSTM`, `ProjectedLSTM`, `GRU`, `Linear`,
        `Embedding` or `Dropout`, a `bidirectional` of such a cell with the outputs side by side,
        or a `stack` of these. Noise that torch has no module for (`VariationalDropout`,
        `WeightDrop`, `StateDropout`, `UpdateDropout`) stays behind: it acts in training only.
      params: its parameters.

    Returns:
      Names to tensors, copies, in torch's order and the dtypes of the parameters.

    Raises:
      ConversionError: if torch has no such module, or the parameters are not the network's.
      MissingExtraError: if torch is not installed.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn, torch
      >>> network = jaxrnn.lstm_network(3, 4)
      >>> params = network.init(jax.random.key(0))
      >>> params = jax.tree.map(lambda leaf: leaf.astype("float32"), params)
      >>> torch.nn.LSTM(3, 4).load_state_dict(export_state_dict(network, params), strict=True)
      <All keys matched successfully>
    """
    return _state_dict(_module_of(network, params))


def export_module(network: Layer, params: Any, batch_first: bool = False) -> Any:
    """A torch module with the weights of a network.

    Args:
      network: as in `export_state_dict`.
      params: its parameters.
      batch_first: how the recurrent modules shall have their axes.

    Returns:
      A `torch.nn.RNN`, `LSTM`, `GRU`, `Embedding` or `Linear`; of unlike layers, a
      `torch.nn.ModuleList` of them, from the lowest up, for a `forward` of your own to call (a
      recurrent one writes a pair, its outputs first). It is in training mode, as torch makes it:
      call its `eval()` to turn dropout off.

    Raises:
      ConversionError: as in `export_state_dict`.
      MissingExtraError: if torch is not installed.

    Example:
      >>> import jax, jaxrnn
      >>> network = jaxrnn.gru_network(3, 4, num_layers=2, bidirectional=True)
      >>> export_module(network, network.init(jax.random.key(0)), batch_first=True)
      GRU(3, 4, num_layers=2, batch_first=True, bidirectional=True)
    """
    made = _module_of(network, params)
    return _loaded(_torch_module(made, batch_first), _state_dict(made))


def export_cell(cell: Layer, params: Any) -> Any:
    """A torch Cell module, which takes one instant, with the weights of a cell.

    Args:
      cell: an `Elman` with tanh or relu, an `LSTM` or a `GRU`, with `SplitBias` around or not.
      params: its parameters.

    Returns:
      A `torch.nn.RNNCell`, `LSTMCell` or `GRUCell`; its `state_dict()` has torch's names.

    Raises:
      ConversionError: if torch has no such Cell, or the parameters are not the cell's.
      MissingExtraError: if torch is not installed.

    Example:
      >>> import jax, jaxrnn
      >>> cell = jaxrnn.LSTM(3, 4)
      >>> export_cell(cell, cell.init(jax.random.key(0)))
      LSTMCell(3, 4)
    """
    belongs(cell, params)
    found = list(parts(cell, numbers_of("parameter", params), keep_biases=True))
    options = options_of(found[0].layer) if len(found) == 1 else None
    if options is None or options.bidirectional or options.projection_size is not None:
        refuse(cell, "torch", {type(cell): _NO_CELL} | _REASONS)
    return _loaded(options.cell_module(), _tensors(*found[0]))


def _module_of(network, params):
    belongs(network, params)
    module = _arranged(network, numbers_of("parameter", params))
    if module is None:
        refuse(network, "torch", {type(network): "it is noise that torch has no module for"})
    return module


def _arranged(network, params):
    """The module that a network is, or None if it is nothing but noise."""
    modules: list[_Module] = []
    for part in _taken_apart(network, params):
        options = options_of(part.layer)
        if options is not None:
            _put_on_top(modules, part, options)
        elif type(part.layer) in (Dropout, Embedding, Linear, Stack):
            modules.append(_Module((part,)))
        else:
            refuse(part.layer, "torch", _REASONS)
    if len(modules) == 1 and (type(network) is not Stack or modules[0].options is not None):
        return modules[0]
    inside = [
        _arranged(*module.parts[0]) if type(module.parts[0].layer) is Stack else module
        for module in modules
    ]
    inside = [module for module in inside if module is not None]
    return _Module(inside=tuple(inside)) if inside else None


def _taken_apart(network, params) -> Iterator[Part]:
    """The layers without noise; a stack within a stack stays, since it is a module of its own."""
    if type(network) is Stack:
        below = [Part(*both) for both in zip(network.layers, params.layers, strict=True)]
    else:
        below = [Part(network, params)]
    for part in below:
        if type(part.layer) is Stack:
            yield part
        else:
            for inner in parts(*part, keep_dropout=True, keep_biases=True):
                yield _plain(*inner) if type(inner.layer) is Bidirectional else inner


def _plain(layer, params):
    """Both directions without noise."""
    ways = (layer.forward, params.forward), (layer.backward, params.backward)
    found = [part for way in ways for part in parts(*way, keep_biases=True)]
    if len(found) != 2:
        refuse(layer, "torch", _REASONS)
    (forward, own), (backward, backward_own) = found
    return Part(
        Bidirectional(forward, backward, layer.merge), BidirectionalParams(own, backward_own)
    )


def _put_on_top(modules, part, options):
    """A recurrent layer, as one more of the module below where that has such layers."""
    rate = modules[-1].rate if modules else None
    below = modules[-1:] if rate is None else modules[-2:]
    if below and below[0].options is not None:
        joined = below[0].options.on_top(options, rate or 0.0)
        if joined is not None:
            del modules[-len(below) :]
            inner = tuple(inner for module in below for inner in module.parts)
            modules.append(_Module((*inner, part), joined))
            return
    modules.append(_Module((part,), options))


def _state_dict(module, prefix=""):
    if module.inside:
        return {
            name: tensor
            for number, inner in enumerate(module.inside)
            for name, tensor in _state_dict(inner, f"{prefix}{number}.").items()
        }
    if module.options is None:
        return _tensors(*module.parts[0], prefix)
    layers, params = zip(*module.parts, strict=True)
    return _tensors(Stack(layers), StackParams(params), prefix)


def _tensors(network, params, prefix=""):
    return {prefix + name: as_tensor(array) for name, array in write(network, params).items()}


def _torch_module(module, batch_first):
    nn = library().nn
    if module.inside:
        return nn.ModuleList(_torch_module(inner, batch_first) for inner in module.inside)
    if module.options is not None:
        return module.options.module(batch_first)
    layer = module.parts[0].layer
    if module.rate is not None:
        return nn.Dropout(layer.rate)
    sizes = layer.input_size, layer.output_size
    if isinstance(layer, Embedding):
        return nn.Embedding(*sizes, device="meta")
    return nn.Linear(*sizes, bias=layer.use_bias, device="meta")


def _loaded(module, tensors):
    module.load_state_dict(tensors, strict=True, assign=True)
    return module


_NO_CELL = "it has Cells for Elman, LSTM and GRU only"
_REASONS: dict[type, str] = {
    Bidirectional: "its bidirectional modules run one cell each way; export the layers inside",
    ProjectedLSTM: "torch.nn.LSTMCell has no projection; export_module makes an LSTM of it",
    ResetBeforeGRU: "torch.nn.GRU resets the state after the product, this cell before it, and no "
    "weights make the two one function; GRU is torch's",
    Reverse: "none of its modules reads from the end only; export the layer inside, and flip what "
    "it reads and what it writes",
}
