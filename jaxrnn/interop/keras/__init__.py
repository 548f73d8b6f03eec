"""Networks from and to Keras 3, on any of its backends.

Keras has batch first: run what is imported with `time_axis=1`. Weights come from live layers; files
(`.keras`, `.weights.h5`) are Keras's to load, safely, with `keras.saving.load_model`.
"""

from jaxrnn.interop.keras.exporter import export_keras
from jaxrnn.interop.keras.importer import import_keras

__all__ = ["export_keras", "import_keras"]
