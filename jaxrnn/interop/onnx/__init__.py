"""Networks from and to ONNX."""

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
