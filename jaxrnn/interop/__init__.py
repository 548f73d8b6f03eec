"""Networks and weights from and to other libraries, one room per library.

Nothing here is imported by `import jaxrnn`, and each room asks for its library only when it is
used: `jaxrnn.interop.torch`, `flax`, `equinox`, `haiku`, `keras`, `onnx`. Every conversion copies
numbers and keeps their dtype; what the other side cannot express is refused, with the reason.
"""
