"""The carry, which Flax passes as plain tuples."""

from typing import Any

from jaxrnn.cell import Layer
from jaxrnn.cells import ElmanCarry, GRUCarry, LSTMCarry
from jaxrnn.errors import ConversionError
from jaxrnn.networks import BidirectionalCarry, StackCarry


def export_carry(carry: Any) -> Any:
    """A carry as Flax has it: `(c, h)` of an LSTM, `h` of another cell.

        LSTMCarry(h, c)                 (c, h), memory first
        GRUCarry(h), ElmanCarry(h)      h
        BidirectionalCarry(a, b)        (a, b)
        StackCarry(layers)              a tuple of those layers that have one

    Flax's Sequential takes and gives no carry, so the tuple of a stack is for its layers one by
    one. The carry of any other cell stays as it is.

    Args:
      carry: of a cell or a network, as from `jaxrnn.unroll`.

    Returns:
      The same arrays in Flax's containers.

    Example:
      >>> import jaxrnn
      >>> c, h = export_carry(jaxrnn.LSTMCarry(h="h", c="c"))
      >>> c, h
      ('c', 'h')
    """
    match carry:
        case LSTMCarry(h=h, c=c):
            return c, h
        case GRUCarry(h=h) | ElmanCarry(h=h):
            return h
        case BidirectionalCarry(forward=forward, backward=backward):
            return export_carry(forward), export_carry(backward)
        case StackCarry(layers=layers):
            return tuple(export_carry(layer) for layer in layers if layer != ())
    return carry


def import_carry(network: Layer, carry: Any) -> Any:
    """A carry of Flax as a layer of jaxrnn takes it; the inverse of `export_carry`.

    Args:
      network: the cell or the network that it is for.
      carry: as from an `RNN` or a `Bidirectional` with `return_carry=True`; of a stack, a tuple
        with one for each layer that has one.

    Returns:
      A carry for `jaxrnn.unroll(network, params, xs, carry)`.

    Raises:
      ConversionError: if the containers are not those of such a carry.

    Example:
      >>> import jaxrnn
      >>> import_carry(jaxrnn.LSTM(3, 4), ("c", "h"))
      LSTMCarry(h='h', c='c')
    """
    return _import(network.initial_carry(), carry)


def _import(like, carry):
    match like:
        case LSTMCarry():
            c, h = _unpack(carry, 2, "(c, h), as of an LSTM")
            return LSTMCarry(h=h, c=c)
        case GRUCarry() | ElmanCarry():
            return type(like)(h=_array(carry))
        case BidirectionalCarry():
            forward, backward = _unpack(carry, 2, "(forward, backward)")
            return BidirectionalCarry(
                _import(like.forward, forward), _import(like.backward, backward)
            )
        case StackCarry(layers=layers):
            count = sum(layer != () for layer in layers)
            given = iter(_unpack(carry, count, f"a carry for each of {count} layers that have one"))
            return StackCarry(
                tuple(() if layer == () else _import(layer, next(given)) for layer in layers)
            )
    return carry


def _unpack(carry, count, expected):
    if not isinstance(carry, tuple | list) or len(carry) != count:
        raise ConversionError(f"import_carry: expected {expected}, got {_kind(carry)}.")
    return carry


def _array(carry):
    if isinstance(carry, tuple | list):
        raise ConversionError(f"import_carry: expected h, an array, got {_kind(carry)}.")
    return carry


def _kind(carry):
    if isinstance(carry, tuple | list):
        return f"a {type(carry).__name__} of {len(carry)}"
    return f"a value of type {type(carry).__name__}"
