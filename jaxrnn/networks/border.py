"""The border: what enters a layer is checked here, before anything is traced."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Cell, Layer, parameter_dtype, specification
from jaxrnn.folds import checkpointed, offloaded, rebuilt, spread, truncated

_MAKERS = {
    truncated: "20",
    rebuilt: "50",
    checkpointed: "50",
    offloaded: "50",
    spread: "mesh",
}  # of folds, with an example of what they are told


def batch_shape(layer: Layer, xs: jax.Array) -> tuple[int, ...]:
    """The batch axes of a sequence that `layer` reads."""
    return tuple(xs.shape[1:] if layer.takes_tokens else xs.shape[1:-1])


def check_layer(layer: Any) -> None:
    """Raise TypeError unless `layer` is a cell or a network, and not the class of one."""
    if isinstance(layer, Layer):
        try:
            hash(layer)
        except TypeError as error:
            problem = str(error)
        else:
            problem = None if dataclasses.is_dataclass(layer) else "it is no dataclass"
        if problem:
            raise TypeError(
                f"{type(layer).__name__} is no description that JAX can recognise: {problem}. Make "
                "it a @dataclasses.dataclass(frozen=True) with no arrays or lists in its fields."
            )
        return
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise TypeError(
            f"expected a cell or a network, got the class {layer.__name__}; make one first, "
            f"as in {layer.__name__}(input_size=3, hidden_size=4)."
        )
    raise TypeError(
        f"expected a cell or a network, such as LSTM(3, 4) or stack(…), got {_kind(layer)}; the "
        "order is unroll(layer, params, xs, carry), and stack takes layers one by one, not a list."
    )


def check_fold(fold: Any) -> None:
    """Raise TypeError unless `fold` can be called, and be a static argument of `jax.jit`."""
    if not callable(fold):
        raise TypeError(
            f"fold must be a function (cell, params, carry, xs) -> (carry, ys), such as "
            f"jaxrnn.folds.scan; got {fold!r}."
        )
    try:
        hash(fold)
    except TypeError as error:
        raise TypeError(f"fold must be hashable, so that JAX can recognise it; {error}.") from None
    if fold in _MAKERS:
        raise TypeError(
            f"fold: {fold.__name__} makes a fold and has to be called first, as in "
            f"fold={fold.__name__}({_MAKERS[fold]})."
        )


def folded(fold: Any, cell: Cell, params: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
    """`fold(cell, params, carry, xs)`, the carry and the outputs.

    Raises:
      TypeError: if the fold gives something else.
      ValueError: if there are more or fewer outputs than instants.
    """
    length = jax.tree.leaves(xs)[0].shape[0]
    result = fold(cell, params, carry, xs)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"fold {fold!r} must return the carry and the outputs, (carry, ys); got "
            f"{_kind(result)}."
        )
    for ys in jax.tree.leaves(result[1]):
        if ys.shape[:1] != (length,):
            raise ValueError(
                f"fold {fold!r} returned outputs of shape {ys.shape} for {length} instants; "
                "expected [time, *batch, output_size]."
            )
    return result


def as_sequence(xs: Any) -> jax.Array:
    """`xs` as a JAX array.

    Raises:
      TypeError: if it is not an array of numbers.
    """
    return _as_array("xs", xs, "an array of numbers, [time, *batch, features]")


def check_params(layer: Layer, params: Any) -> None:
    """Raise unless `params` are what `layer.init` makes, as to structure and shapes."""
    expected = specification(layer)
    _check_tree(f"{layer!r}: parameter", params, expected, "layer.init(key)")
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{layer!r}: parameter `{_path(path)}` has dtype {leaf.dtype}; expected a "
                "floating-point one; what is not learned stands in a field of the layer."
            )


def check_carry(layer: Layer, params: Any, carry: Any, batch: tuple[int, ...], length: int) -> None:
    """Raise unless `carry` is one of `layer` for the batch axes, in the params' dtype."""
    expected = jax.eval_shape(lambda params: layer.start(params, batch), params)
    origin = f"layer.initial_carry({batch})"

    def hint(given: tuple[int, ...], want: tuple[int, ...]) -> str:
        axes = f"The batch axes of xs are {batch}"
        if len(given) > len(want):
            return f" {axes}: the carry has more of them."
        if len(given) < len(want):
            return f" {axes}: the carry lacks them, or some."
        if batch and given[: len(batch)] == (length, *batch[1:]):
            return (
                f" {axes}, after its {length} instants: are time and batch swapped? time_axis says "
                "where time is."
            )
        return ""

    _check_tree(f"{layer!r}: carry", carry, expected, origin, hint)
    for (path, leaf), want in zip(
        jax.tree_util.tree_flatten_with_path(carry)[0], jax.tree.leaves(expected), strict=True
    ):
        if leaf.dtype != want.dtype:
            raise TypeError(
                f"{layer!r}: carry `{_path(path)}` has dtype {leaf.dtype}, expected {want.dtype} "
                "as the parameters have; cast one of them with .astype, or make the carry with "
                "layer.start(params, batch_shape)."
            )


def check_time_axis(time_axis: Any, xs: jax.Array) -> None:
    """Raise unless `time_axis` is an axis of `xs`."""
    if isinstance(time_axis, bool) or not isinstance(time_axis, numbers.Integral):
        raise TypeError(f"time_axis must be an integer, got {time_axis!r}.")
    if not -xs.ndim <= time_axis < max(xs.ndim, 1):
        raise ValueError(f"time_axis={time_axis} is outside xs, whose shape is {xs.shape}.")


def check_key(key: Any) -> None:
    """Raise TypeError unless `key` is None or one random key."""
    if key is None:
        return
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = isinstance(key, jax.Array) and key.dtype == jnp.uint32 and key.shape == _raw_shape()
    if not (typed and key.shape == ()) and not legacy:
        raise TypeError(f"key must be one random key, as from jax.random.key(0); got {_kind(key)}.")


def _raw_shape() -> tuple[int, ...]:
    """Of the keys that `jax.random.PRNGKey` makes with the generator that JAX is told to use."""
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape


def as_flags(
    name: str, flags: Any, length: int, batch: tuple[int, ...], time_axis: int
) -> jax.Array:
    """`flags` as a boolean array `[time, *batch]`, time moved to the front from `time_axis`.

    Raises:
      TypeError: if the flags are not booleans.
      ValueError: if their shape is another.
    """
    flags = _as_array(name, flags, "an array of booleans, one per instant and row")
    if flags.dtype != jnp.bool_:
        raise TypeError(
            f"{name} has dtype {flags.dtype}; expected booleans, one per instant and row."
        )
    shape = (*batch[:time_axis], length, *batch[time_axis:])
    if flags.shape != shape:
        hint = ""
        if sorted(flags.shape) == sorted(shape):
            hint = f" Are its axes in another order? Time is axis {time_axis}."
        raise ValueError(
            f"{name} has shape {flags.shape}; expected {shape}, one flag per instant and row, with "
            f"the axes of xs but that of its features.{hint}"
        )
    return jnp.moveaxis(flags, time_axis, 0)


def as_lengths(lengths: Any, length: int, batch: tuple[int, ...]) -> jax.Array:
    """`lengths` as an array of integers `[*batch]`, each from 0 to `length` where that can be seen.

    Raises:
      TypeError: if they are not integers.
      ValueError: if their shape is another, or one is negative or longer than the sequence.
    """
    wanted = "an array of integers, one per row of the batch"
    # Numbers that are known stay known: inside jax.jit, jnp would make tracers of them.
    known = not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(lengths))
    lengths = _as_array("lengths", lengths, wanted, np if known else jnp)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths has dtype {lengths.dtype}; expected {wanted}.")
    if lengths.shape != batch:
        hint = ""
        if lengths.shape == (length, *batch[1:]):
            hint = (
                f" xs has {length} instants: are time and batch swapped? time_axis says where "
                "time is."
            )
        raise ValueError(
            f"lengths has shape {lengths.shape}; expected {batch}, one length per row of the "
            f"batch.{hint}"
        )
    if known and lengths.size and (lengths.min() < 0 or lengths.max() > length):
        raise ValueError(
            f"lengths run from {lengths.min()} to {lengths.max()}; expected 0 to {length}, the "
            "length of xs."
        )
    return jnp.asarray(lengths)


def check_rank(layer: Layer, xs: jax.Array) -> None:
    """Raise ValueError unless `xs` has the axes of a sequence that `layer` reads."""
    if layer.takes_tokens and xs.ndim < 1:
        raise ValueError(
            f"{layer!r}: xs has shape (); expected [time, *batch], at least one axis. "
            "For one instant call layer(params, carry, token)."
        )
    if not layer.takes_tokens and xs.ndim < 2:
        raise ValueError(
            f"{layer!r}: xs has shape {xs.shape}; expected [time, *batch, {layer.input_size}], at "
            "least two axes. For one instant call layer(params, carry, x)."
        )


def check_sequence(layer: Layer, params: Any, xs: jax.Array) -> None:
    """Raise unless `xs` is a sequence that `layer` reads: rank, width and dtype."""
    if layer.takes_tokens:
        _check_tokens(layer, xs)
        return
    size = layer.input_size
    check_rank(layer, xs)
    if xs.shape[-1] != size:
        hint = ""
        if size in xs.shape:
            hint = f" Axis {xs.shape.index(size)} has that width: are the axes in another order?"
        raise ValueError(
            f"{layer!r}: xs has shape {xs.shape}, so its last axis is {xs.shape[-1]} wide; "
            f"expected input_size={size}, as [time, *batch, {size}].{hint}"
        )
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise TypeError(
            f"{layer!r}: xs has dtype {xs.dtype}; expected floating-point vectors. Token ids go "
            "through OneHot or Embedding first, other numbers through .astype."
        )
    dtype = parameter_dtype(params)
    if jax.tree.leaves(params) and xs.dtype != dtype:
        raise TypeError(
            f"{layer!r}: xs has dtype {xs.dtype} but the parameters have {dtype}; cast one of "
            f"them, as in xs.astype({dtype.name!r}), so that nothing is promoted unasked."
        )


def check_step(cell: Cell, params: Any, carry: Any, xs: jax.Array) -> None:
    """Raise unless one instant of `cell` hands on a carry like the one it received."""
    _check_one_dtype(cell, params)
    x = jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype)
    try:
        new_carry, _ = jax.eval_shape(cell, params, carry, x)
    except Exception as error:
        problem = f"{cell!r}: one instant failed for x of shape {x.shape}"
        if type(error) in (TypeError, ValueError):
            raise type(error)(f"{problem}: {error}") from error
        error.add_note(problem)  # It has a constructor of its own, perhaps.
        raise
    _check_tree(
        f"{cell!r}: step returned a carry whose leaf", new_carry, carry, "the carry it was given"
    )
    for (path, new), old in zip(
        jax.tree_util.tree_flatten_with_path(new_carry)[0], jax.tree.leaves(carry), strict=True
    ):
        if new.dtype != old.dtype:
            raise TypeError(
                f"{cell!r}: step turned the carry `{_path(path)}` from {old.dtype} into "
                f"{new.dtype}; a carry must keep its dtype. Cast inside `step`, or start from "
                "another carry."
            )


def check_rows(cell: Cell, carry: Any, batch: tuple[int, ...]) -> None:
    """Raise ValueError unless every array of the carry has the batch axes in front.

    Lengths, masks and resets act on rows, so every row must have a carry of its own.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(carry)[0]:
        if leaf.shape[: len(batch)] != batch:
            raise ValueError(
                f"{cell!r}: carry `{_path(path)}` has shape {leaf.shape}; with lengths, a mask or "
                f"resets every row needs its own: let its shape begin with {batch}."
            )


def _check_one_dtype(cell: Cell, params: Any) -> None:
    dtypes = {_path(path): leaf.dtype for path, leaf in jax.tree.leaves_with_path(params)}
    for name, dtype in dtypes.items():
        first = next(iter(dtypes))
        if dtype != dtypes[first]:
            raise TypeError(
                f"{cell!r}: parameter `{name}` has dtype {dtype} but `{first}` has "
                f"{dtypes[first]}; the parameters of a cell have one dtype. Cast them, "
                "or use MixedPrecision."
            )


def _check_tokens(layer: Layer, tokens: jax.Array) -> None:
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise TypeError(
            f"{layer!r}: xs has dtype {tokens.dtype}; expected integer token ids, [time, *batch]."
        )
    check_rank(layer, tokens)
    # JAX clamps an id that is out of range, in silence; where the values are known, say so instead.
    if not isinstance(tokens, jax.core.Tracer) and tokens.size:
        known = np.asarray(tokens)  # Inside jax.jit, jnp would make a tracer of it.
        low, high = int(known.min()), int(known.max())
        if low < 0 or high >= layer.input_size:
            raise ValueError(
                f"{layer!r}: xs holds token ids from {low} to {high}; "
                f"expected 0 to {layer.input_size - 1}."
            )


def _no_hint(given: tuple[int, ...], want: tuple[int, ...]) -> str:
    del given, want
    return ""


def _check_tree(
    what: str, given: Any, expected: Any, origin: str, hint: Callable[..., str] = _no_hint
) -> None:
    given_leaves = _leaves(given)
    expected_leaves = _leaves(expected)
    if missing := expected_leaves.keys() - given_leaves.keys():
        raise TypeError(_structure(what, given, expected, f"`{min(missing)}` is missing", origin))
    if unexpected := given_leaves.keys() - expected_leaves.keys():
        raise TypeError(
            _structure(what, given, expected, f"`{min(unexpected)}` is not known", origin)
        )
    for path, leaf in given_leaves.items():
        if not hasattr(leaf, "shape"):
            raise TypeError(
                f"{what} `{path}` is {_kind(leaf)}; expected an array, as from {origin}."
            )
        want = expected_leaves[path].shape
        if leaf.shape != want:
            raise ValueError(
                f"{what} `{path}` has shape {leaf.shape}; expected {want}, as from {origin}."
                + hint(leaf.shape, want)
            )
    if jax.tree.structure(given) != jax.tree.structure(expected):
        raise TypeError(_structure(what, given, expected, "its containers differ", origin))


def _as_array(name: str, value: Any, expected: str, numpy: Any = jnp) -> Any:
    try:
        return numpy.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be {expected}; got {_kind(value)}: {error}") from None


def _structure(what: str, given: Any, expected: Any, problem: str, origin: str) -> str:
    return (
        f"{what} tree does not fit: {problem}. Got {_kind(given)}; "
        f"expected {_kind(expected)}, as from {origin}."
    )


def _leaves(tree: Any) -> dict[str, Any]:
    return {_path(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _path(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path).lstrip(".") or "itself"


def _kind(value: Any) -> str:
    """What a value is, in words: an array by its shape, a tuple with names by its fields."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = ", ".join(
            name if getattr(value, name) is not None else f"{name}=None" for name in value._fields
        )
        return f"{type(value).__name__}({fields})"
    return f"a value of type {type(value).__name__}"
