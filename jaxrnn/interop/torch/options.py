"""What `torch.nn.RNN`, `LSTM` and `GRU` are told when they are made, and the network it makes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.cells import GRU, LSTM, Elman, ProjectedLSTM
from jaxrnn.cells.gates import Activation
from jaxrnn.interop.torch.arrays import library
from jaxrnn.interop.weights import refuse
from jaxrnn.networks import (
    Bidirectional,
    SplitBias,
    Stack,
    concatenate,
    elman_network,
    gru_network,
    lstm_network,
)

KINDS: dict[type[Layer], str] = {Elman: "RNN", LSTM: "LSTM", ProjectedLSTM: "LSTM", GRU: "GRU"}
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
_NAMES = {function: name for name, function in ACTIVATIONS.items()}


class Options(NamedTuple):
    """Torch's options, in our words; `batch_first` belongs to the call.

    Attributes:
      kind: "RNN", "LSTM" or "GRU".
      activation: of an RNN.
      projection_size: of an LSTM; None for no projection.
    """

    kind: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    use_bias: bool = True
    bidirectional: bool = False
    dropout: float = 0.0
    activation: Activation | None = None
    projection_size: int | None = None

    def network(self) -> Stack:
        """The network of such a module."""
        sizes = self.input_size, self.hidden_size, self.num_layers
        shared = {
            "use_bias": self.use_bias,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
        }
        match self.kind:
            case "RNN":
                return elman_network(*sizes, activation=self.activation, **shared)
            case "LSTM":
                return lstm_network(*sizes, projection_size=self.projection_size, **shared)
        return gru_network(*sizes, **shared)

    def module(self, batch_first: bool = False) -> Any:
        """Such a module, without numbers yet."""
        projection = {} if self.projection_size is None else {"proj_size": self.projection_size}
        return getattr(library().nn, self.kind)(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            batch_first=batch_first,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            **self._of_a_cell(),
            **projection,
        )

    def cell_module(self) -> Any:
        """A Cell module for one such layer, without numbers yet."""
        kind = getattr(library().nn, f"{self.kind}Cell")
        return kind(self.input_size, self.hidden_size, **self._of_a_cell())

    def _of_a_cell(self):
        of_rnn = {"nonlinearity": _NAMES[self.activation]} if self.kind == "RNN" else {}
        return {"bias": self.use_bias, "device": "meta"} | of_rnn

    def on_top(self, other: "Options", dropout: float) -> "Options | None":
        """The options of a module that has `other`, of one layer, on top of this one's layers.

        None where no module of torch does: its layers are alike, and so is the dropout between.
        """
        alone = self._replace(input_size=other.input_size, num_layers=1, dropout=0.0)
        if alone != other or (self.num_layers > 1 and self.dropout != dropout):
            return None
        return self._replace(num_layers=self.num_layers + 1, dropout=dropout)


def options_of(layer: Layer) -> Options | None:
    """The options of the module of one layer that a cell or a `Bidirectional` is.

    None for a layer that is no recurrent one.

    Raises:
      ConversionError: if it is one that torch does not have, with the reason.
    """
    if type(layer) is SplitBias:
        return options_of(layer.cell)
    if type(layer) is Bidirectional:
        forward, backward = options_of(layer.forward), options_of(layer.backward)
        if forward is None or forward != backward or layer.merge is not concatenate:
            refuse(layer, "torch", _REASONS)
        return forward._replace(bidirectional=True)
    if type(layer) not in KINDS:
        return None
    options = Options(KINDS[type(layer)], layer.input_size, layer.hidden_size)
    options = options._replace(use_bias=layer.use_bias)
    if type(layer) is Elman:
        if layer.activation not in ACTIVATIONS.values():
            refuse(layer, "torch", _REASONS)
        return options._replace(activation=layer.activation)
    if type(layer) is ProjectedLSTM:
        return options._replace(projection_size=layer.projection_size)
    return options


_REASONS: dict[type, str] = {
    Bidirectional: "its bidirectional modules have the same cell both ways, and put the outputs "
    "side by side; export the layers inside",
    Elman: "torch.nn.RNN has tanh and relu, and no other activation",
}
