"""The contract: what a layer is, and what a cell adds to it. No mathematics lives here."""

import abc
import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Params = TypeVar("Params")
Carry = TypeVar("Carry")


class Layer(abc.ABC, Generic[Params, Carry]):
    """What cells and networks share: a frozen description that holds no arrays.

    A layer is a frozen dataclass, so it is hashable, comparable and picklable, and can be a static
    argument of `jax.jit`. Parameters and carry are made by it and passed back to it; it keeps
    neither.

    Attributes:
      input_size: width of one input vector (of a token layer: how many tokens there are).
      output_size: width of one output vector.
    """

    input_size: int
    output_size: int

    @abc.abstractmethod
    def init(self, key: jax.Array) -> Params:
        """Draw parameters. The same key gives the same parameters.

        `jax.eval_shape(layer.init, key)` is the specification that parameters are checked against.
        """

    @abc.abstractmethod
    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry before the first instant: zeros for every library layer."""

    @abc.abstractmethod
    def __call__(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """Take ONE instant, for acting and sampling: `(params, carry, x) -> (carry, y)`."""

    def start(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry a sequence begins with: `initial_carry` in the dtype of `params`.

        Differs from `initial_carry` where the start is learned, since it then depends on `params`.
        """
        return cast(self.initial_carry(batch_shape), parameter_dtype(params))

    @property
    def takes_tokens(self) -> bool:
        """Whether `xs` holds token ids, `[time, *batch]`, with no axis of features."""
        return False

    def __repr__(self) -> str:
        """The constructor call, without the fields that stand at their defaults."""
        if not dataclasses.is_dataclass(self):
            return object.__repr__(self)
        shown = (
            f"{field.name}={_name(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        """Pickled with functions by name, since `jnp.tanh` and its like cannot be pickled."""
        return {name: _by_name(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            found = value.find() if isinstance(value, _ByName) else value
            object.__setattr__(self, name, found)


class Cell(Layer[Params, Carry]):
    """What happens in one instant; a fold (`jaxrnn.folds`) joins instants into a sequence.

    A cell of your own is a frozen dataclass with an `input_size` and three methods: `init`,
    `initial_carry` and `step`. It acts on the last axis and takes any leading batch axes. That is
    all that folds need, but for `bptt` and `rebuilt`, which ask for a `ManualCell`.

    Example:
      >>> import dataclasses, jax, jax.numpy as jnp, jaxrnn
      >>> @dataclasses.dataclass(frozen=True)
      ... class Leaky(jaxrnn.Cell):
      ...     input_size: int
      ...
      ...     def init(self, key):
      ...         return {"decay": jax.random.uniform(key)}
      ...
      ...     def initial_carry(self, batch_shape=()):
      ...         return jnp.zeros((*batch_shape, self.input_size))
      ...
      ...     def step(self, params, carry, drive):
      ...         h = params["decay"] * carry + drive
      ...         return h, h
      >>> cell = Leaky(3)
      >>> carry, ys = jaxrnn.unroll(cell, cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
      >>> ys.shape
      (5, 2, 3)
    """

    def project(self, params: Params, xs: jax.Array) -> Any:
        """The part of the work that needs no carry, for one instant or for all of them at once.

        Args:
          params: parameters of this cell.
          xs: `[*any, input_size]`.

        Returns:
          `drives`, one per input; what `step` then receives. The default gives `xs` back.
        """
        del params  # The default projects nothing.
        return xs

    @abc.abstractmethod
    def step(self, params: Params, carry: Carry, drive: Any) -> tuple[Carry, jax.Array]:
        """ONE instant, the pure function that `jax.lax.scan` folds: `(carry, y)`."""

    def __call__(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """`project` and `step` in one; y has the dtype of x (of tokens, the parameters')."""
        x = jnp.asarray(x)
        _check_instant(self, x)
        carry, y = self.step(params, carry, self.project(params, x))
        if not isinstance(y, jax.Array | np.ndarray):
            raise TypeError(
                f"step returned an output of type {type(y).__name__}; expected one array, "
                "[*batch, output_size]."
            )
        return carry, y.astype(output_dtype(self, params, x))

    @property
    def output_size(self) -> int:
        """Width of `y`, read off one instant without computing it."""
        return _output_size(self)

    @property
    def knows_backward(self) -> bool:
        """Whether this cell says its own backward step, as `jaxrnn.folds.bptt` needs it."""
        return False

    def inspect(self, params: Params, carry: Carry, drive: Any) -> Any:
        """What goes on inside one instant, for looking at: the gates, where there are any."""
        del params, carry, drive  # Nothing is known about a cell that does not say.
        return ()


class ManualCell(Cell[Params, Carry]):
    """A cell that knows its own derivative, so that `jaxrnn.folds.bptt` can use it.

    The backward pass runs the instants in reverse. What must be handed from instant to instant is
    only the cotangent of the carry; weights and inputs wait until the loop is over.
    """

    @property
    def knows_backward(self) -> bool:
        """True, unless a subclass changed the equations and left the derivative as it was."""
        return derivative_is_its_own(type(self))

    @abc.abstractmethod
    def forward(self, params: Params, carry: Carry, drive: Any) -> tuple[Carry, jax.Array, Any]:
        """As `step`, and also what `backward` will need: `(carry, y, residual)`."""

    @abc.abstractmethod
    def backward(
        self, params: Params, residual: Any, d_carry: Carry, d_y: jax.Array
    ) -> tuple[Carry, Any]:
        """One instant of backpropagation through time: LINEAR in the two cotangents, as all are.

        Args:
          params: parameters of this cell.
          residual: what `forward` kept of this instant.
          d_carry: cotangent of the carry this instant handed on.
          d_y: cotangent of its output.

        Returns:
          The cotangent of the carry this instant received, and `d_drive`, from which (with the
          residual) `gradients` can form everything else.
        """

    @abc.abstractmethod
    def gradients(
        self, params: Params, xs: jax.Array, residuals: Any, d_drives: Any
    ) -> tuple[Params, jax.Array]:
        """After the loop: the cotangents of the parameters and of `xs`, each one contraction."""

    def drive_cotangent(self, d_drives: Any) -> Any:
        """The cotangent of what `project` made, from what `backward` says; None if not known.

        Who says it lets `jaxrnn.wrappers.TokenCell` look drives up instead of computing them.
        """
        del d_drives  # A cell may hand whatever it likes from `backward` to `gradients`.
        return None


# How instants are joined: `fold(cell, params, carry, xs) -> (carry, ys)`; see `jaxrnn.folds`.
Fold = Callable[[Cell, Any, Any, Any], tuple[Any, Any]]


class GatedCell(ManualCell[Params, Carry]):
    """A cell that computes gates, and from them and the old carry the new one.

    Attributes:
      candidate: name of the gate that is new content, not a valve: g of an LSTM, n of a GRU.
    """

    candidate: ClassVar[str]

    @abc.abstractmethod
    def gates(self, params: Params, carry: Carry, drive: Any) -> Any:
        """The activated gates of one instant, a NamedTuple with one field per gate."""

    @abc.abstractmethod
    def update(self, params: Params, carry: Carry, gates: Any) -> tuple[Carry, jax.Array]:
        """The new carry and the output, from the old carry and the gates."""

    def step(self, params: Params, carry: Carry, drive: Any) -> tuple[Carry, jax.Array]:
        """`gates`, then `update`."""
        return self.update(params, carry, self.gates(params, carry, drive))

    def inspect(self, params: Params, carry: Carry, drive: Any) -> Any:
        """The gates."""
        return self.gates(params, carry, drive)


def derivative_is_its_own(cell_type: type[ManualCell]) -> bool:
    """Whether a cell's derivative by hand belongs to its equations.

    A subclass that overrides `step`, `update`, `gates` or `project` and nothing of the backward
    step has inherited the derivative of another function.
    """
    return _most_derived(cell_type, *_EQUATIONS) >= _most_derived(cell_type, *_DERIVATIVE)


def drive_cotangent_is_its_own(cell_type: type[ManualCell]) -> bool:
    """Whether what a cell says of its drives' cotangent belongs to its derivative by hand."""
    return _most_derived(cell_type, *_DERIVATIVE) >= _most_derived(cell_type, "drive_cotangent")


_EQUATIONS = ("step", "update", "gates", "project")
_DERIVATIVE = ("forward", "backward", "gradients")


def _most_derived(cell_type: type[ManualCell], *names: str) -> int:
    return min(
        place
        for place, ancestor in enumerate(cell_type.__mro__)
        if any(name in vars(ancestor) for name in names)
    )


def cast(tree: Any, dtype: Any) -> Any:
    """`tree` with every floating-point leaf as `dtype`; other leaves stay as they are."""

    def leaf(x: Any) -> jax.Array:
        x = jnp.asarray(x)  # A carry may begin with Python's numbers.
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(leaf, tree)


def parameter_dtype(params: Any) -> Any:
    """The floating-point dtype that `params` compute in (the default one if they have none)."""
    leaves = jax.tree.leaves(params)
    floating = [x.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.result_type(*floating) if floating else jnp.result_type(float)


def output_dtype(layer: Layer, params: Any, x: jax.Array) -> Any:
    """The dtype of what a layer writes: that of what it reads, or, of tokens, its parameters'."""
    return parameter_dtype(params) if layer.takes_tokens else x.dtype


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """The leaves of parameters or of a carry, each with its name, such as "layers.1.bias"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def specification(layer: Layer) -> Any:
    """What `layer.init` would draw in this mode of JAX, as a tree of `jax.ShapeDtypeStruct`."""
    return _specification(layer, jnp.result_type(float))


@functools.lru_cache(maxsize=1024)
def _specification(layer: Layer, default: Any) -> Any:
    del default  # With x64 the same layer draws other numbers.
    drawn = jax.eval_shape(layer.init, jax.random.key(0))
    # Without the mesh that happens to be set now: who asks next may have another.
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), drawn)


@functools.lru_cache(maxsize=1024)
def _output_size(cell: Cell) -> int:
    def instant(key: jax.Array) -> jax.Array:
        params = cell.init(key)
        x = jnp.zeros((), int) if cell.takes_tokens else jnp.zeros((cell.input_size,))
        return cell(params, cell.start(params), x)[1]

    return jax.eval_shape(instant, jax.random.key(0)).shape[-1]


def _check_instant(cell: Cell, x: jax.Array) -> None:
    if cell.takes_tokens:
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError(f"{cell!r}: x has dtype {x.dtype}; expected integer token ids.")
        return
    if not x.shape or x.shape[-1] != cell.input_size:
        raise ValueError(
            f"{cell!r}: x has shape {x.shape}; expected [*batch, {cell.input_size}], one instant."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{cell!r}: x has dtype {x.dtype}; expected floating-point vectors, as from .astype."
        )


def _name(value: Any) -> str:
    return value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value)


@dataclasses.dataclass(frozen=True)
class _ByName:
    """Where a function is found."""

    module: str
    name: str

    def find(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)


def _by_name(value: Any) -> Any:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if callable(value) and name and getattr(sys.modules.get(module), name, None) is value:
        return _ByName(module, name)
    return value
