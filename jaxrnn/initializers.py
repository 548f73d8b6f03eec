"""Distributions that weights are drawn from, as frozen descriptions.

An initializer is called `(key, shape, dtype) -> array`. Cells call it once per gate, so `shape` is
`(inputs, hidden)` for the kernel of one gate and `(hidden,)` for its bias; blocks are joined after.
Being values and not closures, two equal initializers make two equal cells, which JAX does not
trace twice.
"""

import abc
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp


class Initializer(abc.ABC):
    """How one block of weights begins."""

    @abc.abstractmethod
    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: Any = None) -> jax.Array:
        """Draw an array of `shape`; `dtype` is JAX's default floating-point one if None."""


@dataclasses.dataclass(frozen=True)
class Constant(Initializer):
    """Every weight is `value`."""

    value: float = 0.0

    def __call__(self, key, shape, dtype=None):
        """`value`, everywhere; the key is not used."""
        del key
        return jnp.full(shape, self.value, dtype or jnp.result_type(float))


@dataclasses.dataclass(frozen=True)
class Normal(Initializer):
    """`stddev · N(0, 1)`; at its default the `0.01 · randn` of min-char-rnn.

    Source: Karpathy (2015), "The Unreasonable Effectiveness of Recurrent Neural Networks".
    """

    stddev: float = 0.01

    def __call__(self, key, shape, dtype=None):
        """Independent normal weights."""
        return self.stddev * jax.random.normal(key, shape, dtype or jnp.result_type(float))


@dataclasses.dataclass(frozen=True)
class TorchUniform(Initializer):
    """`U(−1/√H, 1/√H)` with H the hidden size: how `torch.nn.RNN`, `LSTM` and `GRU` begin.

    H is the last axis of the block, whatever the kernel's other axis is; but for the projection of
    a `ProjectedLSTM` torch takes the hidden size, which is the first. Torch draws its two biases
    from this distribution each; a single bias drawn from it has half the variance of their sum.
    """

    def __call__(self, key, shape, dtype=None):
        """Uniform weights within ±1/√H, H = `shape[-1]`."""
        bound = 1 / math.sqrt(shape[-1])
        return jax.random.uniform(key, shape, dtype or jnp.result_type(float), -bound, bound)


@dataclasses.dataclass(frozen=True)
class FanInUniform(Initializer):
    """`U(−1/√I, 1/√I)` with I the number of inputs: how `torch.nn.Linear` begins its kernel."""

    def __call__(self, key, shape, dtype=None):
        """Uniform weights within ±1/√I, I = `shape[0]`."""
        bound = 1 / math.sqrt(shape[0])
        return jax.random.uniform(key, shape, dtype or jnp.result_type(float), -bound, bound)


@dataclasses.dataclass(frozen=True)
class Glorot(Initializer):
    """`U(−a, a)` with `a = √(6 / (inputs + outputs))`, which keeps variances level both ways.

    Source: Glorot & Bengio (2010), eq. 16, "Understanding the difficulty of training deep
    feedforward neural networks".
    """

    def __call__(self, key, shape, dtype=None):
        """Glorot-uniform weights of a matrix."""
        draw = jax.nn.initializers.glorot_uniform()
        return draw(key, _matrix(self, shape), dtype or jnp.result_type(float))


@dataclasses.dataclass(frozen=True)
class Orthogonal(Initializer):
    """`scale · Q` with Q orthogonal, so that no direction of the carry grows or fades at first.

    Source: Saxe, McClelland & Ganguli (2014), arXiv:1312.6120.
    """

    scale: float = 1.0

    def __call__(self, key, shape, dtype=None):
        """A random orthogonal matrix (orthonormal rows or columns if it is not square)."""
        draw = jax.nn.initializers.orthogonal(self.scale)
        dtype = jnp.dtype(dtype or jnp.result_type(float))
        # LAPACK knows no 16-bit numbers.
        exact = jnp.promote_types(dtype, jnp.float32)
        return draw(key, _matrix(self, shape), exact).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Identity(Initializer):
    """`scale · I`; as the recurrent kernel of a relu `Elman` it makes the IRNN.

    Source: Le, Jaitly & Hinton (2015), arXiv:1504.00941.
    """

    scale: float = 1.0

    def __call__(self, key, shape, dtype=None):
        """The identity matrix; the key is not used."""
        del key
        return self.scale * jnp.eye(*_matrix(self, shape), dtype=dtype or jnp.result_type(float))


def gate_blocks(
    initializer: Initializer, key: jax.Array, shape: tuple[int, ...], gates: int
) -> jax.Array:
    """`gates` independent draws of `shape`, side by side on the last axis.

    Example:
      >>> gate_blocks(Orthogonal(), jax.random.key(0), (4, 4), gates=3).shape
      (4, 12)
    """
    draws = [initializer(gate_key, shape) for gate_key in jax.random.split(key, gates)]
    return jnp.concatenate(draws, axis=-1)


def _matrix(initializer: Initializer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 2:
        raise ValueError(
            f"{initializer} draws matrices, but was asked for the shape {shape}; "
            "use Constant, Normal or TorchUniform for a bias."
        )
    return shape
