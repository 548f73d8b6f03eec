"""Networks from and to ONNX.

`import_onnx` reads graphs of RNN, GRU and LSTM nodes with any of their attributes, `export_onnx`
and `export_language_model` write them; `run_onnx` runs what was read under the file's own names.
"""

from jaxrnn.interop.onnx.activations import OnnxActivation
from jaxrnn.interop.onnx.cells import OnnxGRU, OnnxGRUParams, OnnxLSTM, OnnxLSTMParams
from jaxrnn.interop.onnx.exporter import (
    export_language_model,
    export_onnx,
    import_language_model,
)
from jaxrnn.interop.onnx.importer import import_onnx
from jaxrnn.interop.onnx.model import OnnxModel, initial_carry, run_onnx

__all__ = [
    "OnnxActivation",
    "OnnxGRU",
    "OnnxGRUParams",
    "OnnxLSTM",
    "OnnxLSTMParams",
    "OnnxModel",
    "export_language_model",
    "export_onnx",
    "import_language_model",
    "import_onnx",
    "initial_carry",
    "run_onnx",
]
