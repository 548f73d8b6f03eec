"""Flax, linen and nnx: networks and weights from and to it, and our layers within it."""

from jaxrnn.interop.flax.adapters import LinenCell, LinenNetwork, NnxCell, NnxNetwork
from jaxrnn.interop.flax.carry import export_carry, import_carry
from jaxrnn.interop.flax.linen import LinenModel, export_linen, import_linen
from jaxrnn.interop.flax.nnx import export_nnx, import_nnx

__all__ = [
    "LinenCell",
    "LinenModel",
    "LinenNetwork",
    "NnxCell",
    "NnxNetwork",
    "export_carry",
    "export_linen",
    "export_nnx",
    "import_carry",
    "import_linen",
    "import_nnx",
]
