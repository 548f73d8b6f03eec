"""The carry, which torch keeps as h or (h, c), all layers and directions in one array."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer
from jaxrnn.cells import ElmanCarry, GRUCarry, LSTMCarry
from jaxrnn.errors import ConversionError
from jaxrnn.interop.torch.arrays import as_array, as_tensor, numbers_of
from jaxrnn.networks import border

_Carry = ElmanCarry | GRUCarry | LSTMCarry


def import_carry(network: Layer, carry: Any) -> Any:
    """Torch's hidden state as a carry.

    Args:
      network: whose recurrent layers are those of one torch module; a cell for a Cell module.
      carry: `h` of an RNN or GRU, `(h, c)` of an LSTM, as tensors or arrays, each
        `[layers * directions, *batch, width]`; of a Cell module `[*batch, width]`.

    Returns:
      A carry for `jaxrnn.unroll(network, params, xs, carry)`, a copy, in the dtype that it has.

    Raises:
      ConversionError: if it is not the state of such a network.

    Example:
      >>> import jaxrnn, torch
      >>> network = jaxrnn.gru_network(3, 4, num_layers=2, bidirectional=True)
      >>> carry = import_carry(network, torch.zeros(4, 5, 4))
      >>> carry.layers[1].backward.h.shape
      (5, 4)
    """
    like, cells = _likeness(network)
    fields = cells[0]._fields
    states = (carry,) if len(fields) == 1 else carry
    if not isinstance(states, tuple | list) or len(states) != len(fields):
        raise ConversionError(
            f"import_carry: expected ({', '.join(fields)}) for {network!r}, got a value of type "
            f"{type(carry).__name__}."
        )
    count = () if isinstance(like, _Carry) else (len(cells),)
    arrays = []
    for name, state in zip(fields, states, strict=True):
        array = as_array(f"import_carry: {name}", state)
        width = getattr(cells[0], name).shape
        fits = (array.shape[: len(count)], array.shape[-1:]) == (count, width)
        if not fits or array.ndim < len(count + width):
            expected = ", ".join(map(str, [*count, "*batch", *width]))
            raise ConversionError(
                f"import_carry: {name} has shape {array.shape}; expected [{expected}] for "
                f"{network!r}."
            )
        arrays.append(array)
    batches = [array.shape[len(count) : -1] for array in arrays]
    if batches[0] != batches[-1]:
        raise ConversionError(
            f"import_carry: {' and '.join(fields)} have the batch axes "
            f"{' and '.join(map(str, batches))}; expected the same."
        )
    rows = zip(*arrays, strict=True) if count else [arrays]
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves([*map(tuple, rows)]))


def export_carry(network: Layer, carry: Any) -> Any:
    """A carry as torch's hidden state; the inverse of `import_carry`.

    Args:
      network: whose recurrent layers are those of one torch module; a cell for a Cell module.
      carry: its carry.

    Returns:
      `h`, or `(h, c)` of an LSTM: tensors `[layers * directions, *batch, width]`, of a cell
      `[*batch, width]`.

    Raises:
      ConversionError: if torch keeps no such state, or the carry is not the network's.
      MissingExtraError: if torch is not installed.

    Example:
      >>> import jaxrnn
      >>> network = jaxrnn.lstm_network(3, 4, num_layers=2)
      >>> h, c = export_carry(network, network.initial_carry((5,)))
      >>> h.shape
      torch.Size([2, 5, 4])
    """
    like, cells = _likeness(network)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(carry)]
    widths = [leaf.shape for leaf in jax.tree.leaves(like)]
    if jax.tree.structure(carry) != jax.tree.structure(like) or shapes != [
        (*shapes[0][:-1], *width) for width in widths
    ]:
        raise ConversionError(
            f"export_carry: got a value of type {type(carry).__name__} that is no carry of "
            f"{network!r}; expected one as from network.initial_carry(batch_shape)."
        )
    states = zip(*_cells(numbers_of("carry", carry)), strict=True)
    is_cell = isinstance(like, _Carry)
    tensors = tuple(as_tensor(own[0] if is_cell else np.stack(own)) for own in states)
    return tensors if len(tensors) > 1 else tensors[0]


def _likeness(network):
    """A carry of a network for no batch axes, and those of its cells, which have to be alike."""
    border.check_layer(network)
    like = jax.eval_shape(network.initial_carry)
    cells = _cells(like)
    if not cells or any(
        not isinstance(cell, _Carry) or (type(cell), cell) != (type(cells[0]), cells[0])
        for cell in cells
    ):
        raise ConversionError(
            f"{network!r} has no carry that one torch module has: its recurrent layers are of "
            "several kinds or sizes, or none of torch's; convert the carries of its layers."
        )
    return like, cells


def _cells(carry):
    """The carries of all cells, in torch's order, which is ours: upwards, forward first."""
    return jax.tree.leaves(carry, is_leaf=lambda node: isinstance(node, _Carry))
