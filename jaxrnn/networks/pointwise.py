"""Layers that treat every instant alike and carry nothing: below and above the cells."""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn import checks, initializers
from jaxrnn.initializers import Initializer
from jaxrnn.linear import affine
from jaxrnn.networks.network import Network


class Pointwise(Network[Any, tuple[()]]):
    """A network without a carry: each output depends on the input of its own instant only."""

    @abc.abstractmethod
    def map(self, params: Any, xs: jax.Array) -> jax.Array:
        """`ys` from `xs`, on the last axis, for any leading axes."""

    def init(self, key: jax.Array) -> Any:
        """Nothing; a layer that has weights draws them."""
        del key
        return ()

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> tuple[()]:
        """Nothing."""
        del batch_shape  # Nothing is carried, for however many rows.
        return ()

    def __call__(self, params, carry, x):
        """One instant."""
        return carry, self.map(params, jnp.asarray(x))

    def apply(self, params, carry, xs, fold, context):
        """All instants at once; there is nothing to fold."""
        del fold, context
        return carry, self.map(params, xs)


class LinearParams(NamedTuple):
    """Weights of a `Linear` layer."""

    kernel: Float[Array, "input output"]
    bias: Float[Array, " output"] | None


@dataclasses.dataclass(frozen=True, repr=False)
class Linear(Pointwise):
    """An affine map at every instant, as between the last cell and the logits: y = x W + b.

    Attributes:
      input_size: width of x.
      output_size: width of y.
      use_bias: whether b is there.
      kernel_init: initializer of W.
      bias_init: initializer of b.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> Linear(3, 4).output_size
      4
    """

    input_size: int
    output_size: int
    use_bias: bool = True
    kernel_init: Initializer = initializers.Glorot()
    bias_init: Initializer = initializers.Constant(0.0)

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size, output_size=self.output_size)
        checks.check_options(self)

    def init(self, key: jax.Array) -> LinearParams:
        """Draw W and b."""
        kernel_key, bias_key = jax.random.split(key)
        return LinearParams(
            kernel=self.kernel_init(kernel_key, (self.input_size, self.output_size)),
            bias=self.bias_init(bias_key, (self.output_size,)) if self.use_bias else None,
        )

    def map(
        self, params: LinearParams, xs: Float[Array, "*any input"]
    ) -> Float[Array, "*any output"]:
        """x W + b."""
        return affine(xs, params.kernel, params.bias)


class TokenLayer(Pointwise):
    """A vector for every token: reads integer ids `[time, *batch]`."""

    @property
    def takes_tokens(self) -> bool:
        """True."""
        return True

    def vectors(self, params: Any) -> jax.Array:
        """Those of all tokens, `[tokens, output_size]`; `OneHot` adds the one of any other id."""
        return self.map(params, jnp.arange(self.input_size))


@dataclasses.dataclass(frozen=True, repr=False)
class Tokens(TokenLayer):
    """Token ids, handed on as they are to a layer that reads them. No parameters.

    Attributes:
      input_size: how many tokens there are.
    """

    input_size: int

    @property
    def output_size(self) -> int:
        """How many tokens there are: what the layer above reads."""
        return self.input_size

    def map(self, params: tuple[()], xs: Int[Array, "*any"]) -> Int[Array, "*any"]:
        """The ids."""
        del params
        return xs


class EmbeddingParams(NamedTuple):
    """Weights of an `Embedding`: one row per token."""

    table: Float[Array, "tokens output"]


@dataclasses.dataclass(frozen=True, repr=False)
class Embedding(TokenLayer):
    """A learned vector for every token: y = table[x].

    Reads integer ids `[time, *batch]`. `jaxrnn.unroll` refuses ids outside the table where it can
    see them; under `jax.jit` they cannot be seen, and give NaN instead of another token's vector.

    Attributes:
      input_size: how many tokens there are.
      output_size: width of a vector.
      table_init: initializer of the table.

    Raises:
      ValueError: if a size is not a positive integer.

    Example:
      >>> embedding = Embedding(65, 16)
      >>> params = embedding.init(jax.random.key(0))
      >>> embedding.map(params, jnp.array([[1, 2], [3, 4]])).shape
      (2, 2, 16)
    """

    input_size: int
    output_size: int
    table_init: Initializer = initializers.Normal(1.0)

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size, output_size=self.output_size)
        checks.check_options(self)

    def init(self, key: jax.Array) -> EmbeddingParams:
        """Draw the table."""
        return EmbeddingParams(table=self.table_init(key, (self.input_size, self.output_size)))

    def map(self, params: EmbeddingParams, xs: Int[Array, "*any"]) -> Float[Array, "*any output"]:
        """table[x]."""
        # Plain indexing would clamp an id that is too large to the last token, in silence.
        table = jnp.asarray(params.table).at[xs]
        return table.get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


@dataclasses.dataclass(frozen=True, repr=False)
class OneHot(TokenLayer):
    """The unit vector of a token: y is 1 at x and 0 elsewhere. No parameters.

    Reads integer ids `[time, *batch]`.

    Attributes:
      input_size: how many tokens there are, and the width of y.
      dtype: name of the dtype of y; None for that of the parameters above it in a `Stack` (alone,
        JAX's default floating-point one).

    Raises:
      ValueError: if the size is not a positive integer, or the dtype not a floating-point one.

    Example:
      >>> OneHot(3).map((), jnp.array([0, 2])).tolist()
      [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    input_size: int
    dtype: str | None = None

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size)
        if self.dtype is not None and self.dtype not in (
            "bfloat16",
            "float16",
            "float32",
            "float64",
        ):
            raise ValueError(
                f"OneHot: dtype must be the name of a floating-point type such as 'float32', "
                f"got {self.dtype!r}."
            )

    @property
    def output_size(self) -> int:
        """As many as there are tokens."""
        return self.input_size

    def map(self, params: tuple[()], xs: Int[Array, "*any"]) -> Float[Array, "*any tokens"]:
        """Unit vectors; all zero for an id outside 0 … input_size − 1."""
        del params
        return jax.nn.one_hot(xs, self.input_size, dtype=self.dtype or jnp.result_type(float))

    def vectors(self, params):
        """Unit vectors, and the zero vector of ids outside."""
        return self.map(params, jnp.arange(self.input_size + 1))
