"""Dropout of what passes between layers, and of recurrent weights. No key, no noise."""

import abc
import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import checks
from jaxrnn.cell import Layer
from jaxrnn.networks.network import reading_tokens, run
from jaxrnn.networks.pointwise import Pointwise
from jaxrnn.networks.wrapped import Wrapped
from jaxrnn.wrappers.noise import check_rate, scaled_mask


class Dropping(Pointwise):
    """What the two dropouts share: everything but the shape of the mask."""

    input_size: int
    rate: float

    def __post_init__(self):
        checks.check_sizes(self, input_size=self.input_size)
        check_rate(self, rate=self.rate)

    @abc.abstractmethod
    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the mask for a sequence of this shape."""

    @property
    def output_size(self) -> int:
        """As wide as the input."""
        return self.input_size

    def map(self, params, xs):
        """Without a key, nothing is dropped."""
        del params
        return xs

    def apply(self, params, carry, xs, fold, context):
        """The mask times the sequence, where there is a key."""
        if context.key is None:
            return carry, xs
        mask = scaled_mask(context.key, self.rate, self.mask_shape(xs.shape), xs.dtype)
        return carry, xs * jnp.broadcast_to(mask, xs.shape)


@dataclasses.dataclass(frozen=True, repr=False)
class Dropout(Dropping):
    """Dropout with a fresh mask at every instant, as `torch.nn.LSTM` has it between layers.

        y_t = m_t ⊙ x_t / (1 − rate),    m_t ~ Bernoulli(1 − rate)

    Source: Srivastava et al. (2014); between recurrent layers Zaremba, Sutskever & Vinyals (2014),
    arXiv:1409.2329.

    Attributes:
      input_size: width of x and of y.
      rate: the probability of dropping a unit.

    Raises:
      ValueError: if the size is not positive or the rate is outside [0, 1].

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.Dropout(4, rate=0.5), jaxrnn.LSTM(4, 4))
      >>> params = network.init(jax.random.key(0))
      >>> xs = jnp.ones((10, 2, 3))
      >>> _, with_noise = jaxrnn.unroll(network, params, xs, key=jax.random.key(1))
      >>> _, without = jaxrnn.unroll(network, params, xs)
      >>> bool((with_noise == without).all())
      False
    """

    input_size: int
    rate: float

    def mask_shape(self, shape):
        """One mask per instant."""
        return shape


@dataclasses.dataclass(frozen=True, repr=False)
class VariationalDropout(Dropping):
    """Dropout with one mask per sequence, the same at every instant ("locked" dropout).

        y_t = m ⊙ x_t / (1 − rate),    m ~ Bernoulli(1 − rate) once per sequence and row

    Below a layer it drops inputs, above it outputs; `StateDropout` drops what is handed on.

    Source: Gal & Ghahramani (2016), arXiv:1512.05287.

    Attributes:
      input_size: width of x and of y.
      rate: the probability of dropping a unit.

    Raises:
      ValueError: if the size is not positive or the rate is outside [0, 1].

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> layer = jaxrnn.VariationalDropout(4, rate=0.5)
      >>> _, ys = jaxrnn.unroll(layer, (), jnp.ones((10, 2, 4)), key=jax.random.key(1))
      >>> bool((ys[0] == ys[9]).all())
      True
    """

    input_size: int
    rate: float

    def mask_shape(self, shape):
        """One mask for all instants."""
        return (1, *shape[1:])


@dataclasses.dataclass(frozen=True, repr=False)
class WeightDrop(Wrapped):
    """A layer whose recurrent weights are dropped, one mask per sequence for the whole batch.

        R ← m ⊙ R / (1 − rate),    m ~ Bernoulli(1 − rate)

    The mask is applied before the loop, so it costs nothing within and works with every fold.

    Source: Merity, Keskar & Socher (2018), section 2, arXiv:1708.02182 (AWD-LSTM), after Wan et al.
    (2013), DropConnect.

    Attributes:
      layer: a cell or network; every parameter named `recurrent_kernel` in it is dropped.
      rate: the probability of dropping a weight.

    Raises:
      ValueError: if the rate is outside [0, 1], or no parameter has that name.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> layer = jaxrnn.WeightDrop(jaxrnn.LSTM(3, 4), rate=0.5)
      >>> params = layer.init(jax.random.key(0))
      >>> carry, ys = jaxrnn.unroll(layer, params, jnp.ones((10, 2, 3)), key=jax.random.key(1))
      >>> ys.shape
      (10, 2, 4)
    """

    layer: Layer
    rate: float

    def __post_init__(self):
        super().__post_init__()
        check_rate(self, rate=self.rate)
        paths = jax.tree_util.tree_leaves_with_path(jax.eval_shape(self.init, jax.random.key(0)))
        if not any(_is_recurrent(path) for path, _ in paths):
            raise ValueError(f"WeightDrop: {self.layer!r} has no parameter named recurrent_kernel.")

    def __call__(self, params, carry, x):
        """One instant of the layer; no noise."""
        return self.layer(params, carry, x)

    def reading_tokens(self, params, vectors, tokens):
        """The layer inside reading tokens; what is dropped of recurrent weights stays the same."""
        inside = reading_tokens(self.layer, params, vectors, tokens)
        return None if inside is None else (dataclasses.replace(self, layer=inside[0]), inside[1])

    def apply(self, params, carry, xs, fold, context):
        """The layer, with dropped weights where there is a key."""
        if context.key is not None:
            drop_key, inner_key = jax.random.split(context.key)
            params = drop_recurrent_weights(drop_key, params, self.rate)
            context = dataclasses.replace(context, key=inner_key)
        return run(self.layer, params, carry, xs, fold, context)


def drop_recurrent_weights(key: jax.Array, params: Any, rate: float) -> Any:
    """`params` with every `recurrent_kernel` in it times a scaled random mask.

    Args:
      key: for the masks.
      params: parameters of any layer.
      rate: the probability of dropping a weight.

    Returns:
      A tree like `params`.

    Example:
      >>> import jax, jaxrnn
      >>> params = jaxrnn.GRU(3, 4).init(jax.random.key(0))
      >>> dropped = drop_recurrent_weights(jax.random.key(1), params, rate=0.5)
      >>> 0 < int((dropped.recurrent_kernel == 0).sum()) < dropped.recurrent_kernel.size
      True
    """
    number = itertools.count()  # of recurrent kernels alone: others may be replaced beforehand

    def dropped(path, leaf):
        if not _is_recurrent(path):
            return leaf
        own = jax.random.fold_in(key, next(number))
        return leaf * scaled_mask(own, rate, leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(dropped, params)


def _is_recurrent(path: tuple[Any, ...]) -> bool:
    last = path[-1] if path else None
    return getattr(last, "name", getattr(last, "key", None)) == "recurrent_kernel"
