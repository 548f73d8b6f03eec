"""The options of Flax's modules: taken over, or refused with the reason."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxrnn.errors import ConversionError

_SIGMOIDS = (jax.nn.sigmoid, jax.lax.logistic)
_TANHS = (jnp.tanh, jax.lax.tanh)

# What is read elsewhere, or says how a module was made and not what it computes.
_UNDERSTOOD = {
    *("name", "parent", "rngs", "keep_rngs", "features", "in_features", "hidden_features"),
    *("out_features", "num_embeddings", "use_bias", "rate", "deterministic", "rng_collection"),
    *("kernel_init", "recurrent_kernel_init", "bias_init", "embedding_init", "carry_init"),
    *("kernel_metadata", "recurrent_kernel_metadata", "bias_metadata", "embedding_metadata"),
    *("gate_fn", "activation_fn", "residual", "dtype", "param_dtype"),
    *("cell", "time_major", "return_carry", "reverse", "keep_order", "unroll"),
    *("forward_rnn", "backward_rnn", "merge_fn", "layers", "state_axes"),
}


def check_defaults(what: str, module: Any, expected_state_axes: Any = None) -> None:
    """Raise ConversionError if an option that means nothing here is not at its default.

    Args:
      what: the function that asks, for the message.
      module: a module of linen, whose options are fields, or of nnx, whose are attributes.
      expected_state_axes: what `nnx.RNN` makes of `state_axes=None`.
    """
    kind = type(module)
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if parameter.default is parameter.empty or not hasattr(module, name):
            continue
        if name in _UNDERSTOOD - {"state_axes"}:
            continue
        default = expected_state_axes if name == "state_axes" else parameter.default
        value = getattr(module, name)
        if value is not default and value != default:
            raise ConversionError(
                f"{what}: {kind.__name__} has {name}={_shown(value)}, which no jaxrnn layer knows; "
                f"expected {_shown(default)}, the default."
            )
    carry_init = getattr(module, "carry_init", None)
    if carry_init is not None and not _draws_zeros(carry_init):
        raise ConversionError(
            f"{what}: {kind.__name__} has carry_init={_shown(carry_init)}, but jaxrnn cells begin "
            "with zeros; leave it away and give unroll the carry you want."
        )


def check_gates(what: str, module: Any) -> None:
    """Raise ConversionError unless the gates of a cell are squashed as ours are."""
    for name, functions in (("gate_fn", _SIGMOIDS), ("activation_fn", _TANHS)):
        if getattr(module, name) not in functions:
            raise ConversionError(
                f"{what}: {type(module).__name__} has {name}={_shown(getattr(module, name))}, but "
                f"the gates of jaxrnn's cell are {functions[0].__name__}; write a jaxrnn.Cell of "
                "your own for other equations."
            )


def check_dtype(what: str, module: Any, dtype: Any) -> None:
    """Raise ConversionError if a module computes in another dtype than its parameters have."""
    own = getattr(module, "dtype", None)
    if own is not None and jnp.dtype(own) != dtype:
        raise ConversionError(
            f"{what}: {type(module).__name__} has parameters of {dtype} but dtype="
            f"{jnp.dtype(own)} to compute in; give the module dtype=None and convert, and use "
            "jaxrnn.MixedPrecision for narrow products."
        )


def check_merge(what: str, merge: Any) -> None:
    """Raise ConversionError unless a merge is the same function with time in front."""
    if not callable(merge):
        raise ConversionError(f"{what}: merge_fn is {_shown(merge)}, which is no function.")
    rng = np.random.default_rng(0)
    both = [rng.standard_normal((2, 3, 4)).astype(np.float32) for _ in "fb"]
    try:
        with jax.ensure_compile_time_eval():  # Inside jax.jit too, this is about the function only.
            batch_first = np.asarray(merge(*map(jnp.asarray, both)))
            time_first = np.asarray(merge(*(jnp.asarray(ys.swapaxes(0, 1)) for ys in both)))
        same = np.allclose(batch_first.swapaxes(0, 1), time_first, rtol=1e-5, atol=1e-6)
    except (TypeError, ValueError):  # It asks for widths, or axes, that these arrays have not.
        return
    if not same:
        raise ConversionError(
            f"{what}: merge_fn {_shown(merge)} acts on time or batch, which stand elsewhere in "
            "jaxrnn; expected a function of the last axis."
        )


def canonical(activation: Any) -> Any:
    """An activation under the name that model files know."""
    return jnp.tanh if activation in _TANHS else activation


def _draws_zeros(carry_init: Any) -> bool:
    if carry_init is nn.initializers.zeros:
        return True
    with jax.ensure_compile_time_eval():
        return not np.any(carry_init(jax.random.key(0), (2, 2), jnp.float32))


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def article(value: Any) -> str:
    """What a value is, for a message: a function by its name, another by its class."""
    name = type(value).__name__
    return getattr(value, "__name__", None) or ("an " if name[0] in "AEIO" else "a ") + name
