"""Networks and weights from and to PyTorch.

    torch.nn.RNN, LSTM, GRU          a stack, as `elman_network`, `lstm_network`, `gru_network` make
    torch.nn.RNNCell, LSTMCell …     a cell
    torch.nn.Embedding, Linear       `Embedding`, `Linear`
    batch_first=True                 `jaxrnn.unroll(..., time_axis=1)`: it belongs to the call

Torch keeps every kernel transposed, and two biases where one would do:

    input_kernel = weight_ihᵀ,    recurrent_kernel = weight_hhᵀ,    projection_kernel = weight_hrᵀ
    bias = bias_ih + bias_hh      (GRU: of r and z; n keeps both)

With `two_biases=True` cells are wrapped in `jaxrnn.SplitBias` and both stay, so that training goes
on as it would in torch. State dicts of NumPy arrays and `.safetensors` files need no torch at all.
"""

from jaxrnn.interop.torch.carries import export_carry, import_carry
from jaxrnn.interop.torch.files import read_state_dict
from jaxrnn.interop.torch.modules import chain, import_module
from jaxrnn.interop.torch.state_dicts import import_state_dict
from jaxrnn.interop.torch.writing import export_cell, export_module, export_state_dict

__all__ = [
    "chain",
    "export_carry",
    "export_cell",
    "export_module",
    "export_state_dict",
    "import_carry",
    "import_module",
    "import_state_dict",
    "read_state_dict",
]
