"""From torch's modules."""

from collections.abc import Iterator
from typing import Any

from jaxrnn.cell import Layer
from jaxrnn.errors import ConversionError
from jaxrnn.interop import weights
from jaxrnn.interop.parts import Part
from jaxrnn.interop.torch.arrays import library
from jaxrnn.interop.torch.options import ACTIVATIONS, Options
from jaxrnn.interop.torch.weights import read
from jaxrnn.networks import Dropout, Embedding, Linear, StackParams

_LAYERS = ("RNN", "LSTM", "GRU")
_CELLS = ("RNNCell", "LSTMCell", "GRUCell")
_CHAINS = ("Sequential", "ModuleList")
_ALONE = (*_LAYERS, *_CELLS, "Embedding", "Linear")
_IN_A_CHAIN = ("Dropout", "Identity")


def import_module(module: Any, two_biases: bool = False) -> tuple[Layer, Any]:
    """Take over a torch module with its weights.

    | torch.nn | here |
    |---|---|
    | `RNN`, `LSTM`, `GRU` | `Stack`, as `elman_network`, `lstm_network`, `gru_network` make it |
    | `RNNCell`, `LSTMCell`, `GRUCell` | `Elman`, `LSTM`, `GRU` |
    | `Embedding`, `Linear` | `Embedding`, `Linear` |
    | `Dropout`, within a chain | `Dropout`; it acts where `unroll` is given a key |
    | `Sequential`, `ModuleList` of these | `Stack`; a recurrent module hands on its outputs |

    A module of your own is a function that weights do not tell: import the modules inside it, and
    `chain` them. `batch_first=True` belongs to the call: `jaxrnn.unroll(..., time_axis=1)`. What
    only changes a gradient (`padding_idx`, `sparse` of an Embedding) stays behind.

    Args:
      module: of one of these classes itself: no subclass, hook, parametrization or quantization.
      two_biases: whether to keep both of torch's biases (`jaxrnn.SplitBias`), so that training
        goes on as it would in torch; if not, their sum is kept, rounded to their dtype.

    Returns:
      The network and its parameters, a copy, in the module's dtypes. For torch's `h` or `(h, c)`
      see `import_carry`.

    Raises:
      ConversionError: if the module is of another kind, or its numbers cannot be taken over.
      MissingExtraError: if torch is not installed.

    Example:
      >>> import jax.numpy as jnp, jaxrnn, torch
      >>> module = torch.nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
      >>> network, params = import_module(module)
      >>> carry, ys = jaxrnn.unroll(network, params, jnp.ones((2, 10, 3), "float32"), time_axis=1)
      >>> theirs, (h, c) = module(torch.ones(2, 10, 3))
      >>> bool(jnp.allclose(ys, theirs.detach().numpy(), atol=1e-6))
      True
    """
    _check(module)
    kind = type(module).__name__
    if kind in _CHAINS:
        return _import_chain(module, two_biases)
    owner = f"torch.nn.{kind}"
    if kind == "Dropout":
        raise ConversionError(
            f"{owner} does not say how wide it is: import the Sequential that it stands in, or "
            "write jaxrnn.Dropout(width, rate)."
        )
    if kind == "Identity":
        raise ConversionError(f"{owner} has no counterpart in jaxrnn; leave it out.")
    return read(owner, _network_of(module), module.state_dict(), two_biases=two_biases)


def chain(*models: tuple[Layer, Any]) -> tuple[Layer, StackParams]:
    """Put networks on top of each other, with their parameters.

    Args:
      *models: pairs of a network and its parameters, from the lowest up.

    Returns:
      A `Stack` and its parameters.

    Raises:
      ConversionError: if two neighbours do not fit, there is none, or something is no such pair.

    Example:
      >>> import jax.numpy as jnp, jaxrnn, torch
      >>> embed, lstm, head = torch.nn.Embedding(9, 3), torch.nn.LSTM(3, 4), torch.nn.Linear(4, 9)
      >>> network, params = chain(import_module(embed), import_module(lstm), import_module(head))
      >>> carry, logits = jaxrnn.unroll(network, params, jnp.zeros((10, 2), int))
      >>> logits.shape
      (10, 2, 9)
    """
    for model in models:
        if not isinstance(model, tuple) or len(model) != 2 or not isinstance(model[0], Layer):
            raise ConversionError(
                "chain: expected pairs of a network and its parameters, as import_module gives "
                f"them; got a value of type {type(model).__name__}."
            )
    return weights.chain([Part(*model) for model in models])


def _check(module):
    nn = library().nn
    known = tuple(getattr(nn, name) for name in (*_ALONE, *_IN_A_CHAIN, *_CHAINS))
    if not isinstance(module, nn.Module):
        raise ConversionError(
            f"expected a torch module, got a value of type {type(module).__name__}; for a state "
            "dict call import_state_dict."
        )
    if type(module) not in known:
        name = f"{type(module).__module__}.{type(module).__qualname__}"
        if isinstance(module, known):
            raise ConversionError(
                f"{name} is a subclass or a parametrization of a torch layer and may compute "
                "something else; remove what was added, or give its weights to import_state_dict."
            )
        raise ConversionError(
            f"{name} has no counterpart in jaxrnn; expected one of torch.nn's "
            f"{', '.join((*_ALONE, *_IN_A_CHAIN, *_CHAINS))}: import such modules inside it one "
            "by one, and `chain` them."
        )
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise ConversionError(
            f"torch.nn.{type(module).__name__} has forward hooks (weight_norm and spectral_norm "
            "are such) or a forward of its own, which may change what it computes; remove them."
        )


def _import_chain(module, two_biases):
    children = list(module)
    for child in children:
        _check(child)
        if type(child).__name__ in _CELLS:
            raise ConversionError(
                f"torch.nn.{type(child).__name__} within torch.nn.{type(module).__name__} begins "
                "anew at every instant; import it by itself and `chain` it, and it runs over time."
            )
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if len(names) > len(list(module.parameters())):
        raise ConversionError(
            f"two modules of torch.nn.{type(module).__name__} share weights, which layers of "
            "jaxrnn do not; import them one by one and `chain` them, and each has a copy."
        )
    if len({child.batch_first for child in children if type(child).__name__ in _LAYERS}) > 1:
        raise ConversionError(
            f"some modules of torch.nn.{type(module).__name__} have batch_first=True and others "
            "False, so that one runs over the batch of the other; make them alike."
        )
    return weights.chain(list(_links(module, children, two_biases)))


def _links(module, children, two_biases) -> Iterator[Part]:
    """Each child; a Dropout is as wide as what stands before it, or else after it."""
    links: list[Part | None] = [
        None if type(child).__name__ == "Dropout" else Part(*import_module(child, two_biases))
        for child in children
        if type(child).__name__ != "Identity"
    ]
    rates = iter(child.p for child in children if type(child).__name__ == "Dropout")
    width = next((link.layer.input_size for link in links if link is not None), None)
    if width is None:
        raise ConversionError(f"torch.nn.{type(module).__name__} holds no layer with weights.")
    for link in links:
        part = Part(Dropout(width, float(next(rates))), ()) if link is None else link
        width = part.layer.output_size
        yield part


def _network_of(module):
    kind = type(module).__name__
    if kind == "Embedding":
        if module.max_norm is not None:
            raise ConversionError(
                f"torch.nn.Embedding with max_norm={module.max_norm} shortens its vectors as it "
                "is called, which jaxrnn.Embedding does not; import one without max_norm."
            )
        return Embedding(module.num_embeddings, module.embedding_dim)
    if kind == "Linear":
        return Linear(module.in_features, module.out_features, module.bias is not None)
    options = Options(
        kind.removesuffix("Cell"), module.input_size, module.hidden_size, use_bias=module.bias
    )
    if options.kind == "RNN":
        options = options._replace(activation=ACTIVATIONS[module.nonlinearity])
    if kind in _CELLS:
        return options.network().layers[0]
    return options._replace(
        num_layers=module.num_layers,
        bidirectional=module.bidirectional,
        # With one layer there is no between, and torch ignores the rate.
        dropout=float(module.dropout) if module.num_layers > 1 else 0.0,
        projection_size=module.proj_size or None,
    ).network()
