"""Reading a sequence both ways."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.networks.border import check_layer
from jaxrnn.networks.network import Network, run
from jaxrnn.networks.reverse import reverse

Merge = Callable[[jax.Array, jax.Array], jax.Array]


def concatenate(forward_ys: jax.Array, backward_ys: jax.Array) -> jax.Array:
    """Side by side on the last axis, forward first: the merge of `torch.nn`."""
    return jnp.concatenate([forward_ys, backward_ys], axis=-1)


def add(forward_ys: jax.Array, backward_ys: jax.Array) -> jax.Array:
    """The sum of both; they must be of one width."""
    return forward_ys + backward_ys


class BidirectionalParams(NamedTuple):
    """Parameters of a `Bidirectional`."""

    forward: Any
    backward: Any


class BidirectionalCarry(NamedTuple):
    """Carries of a `Bidirectional`: forward after the last instant, backward after the first."""

    forward: Any
    backward: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Bidirectional(Network[BidirectionalParams, BidirectionalCarry]):
    """One layer that reads from the start and one from the end; made by `bidirectional`."""

    forward: Layer
    backward: Layer
    merge: Merge = concatenate

    def __post_init__(self):
        check_layer(self.forward)
        check_layer(self.backward)
        if (self.forward.input_size, self.forward.takes_tokens) != (
            self.backward.input_size,
            self.backward.takes_tokens,
        ):
            raise ValueError(
                f"bidirectional: {self.forward!r} and {self.backward!r} read the same "
                f"sequence, but have input_size {self.forward.input_size} and "
                f"{self.backward.input_size}."
            )
        if not callable(self.merge):
            raise TypeError(
                f"bidirectional: merge must be a function of two outputs, such as "
                f"jaxrnn.concatenate or jaxrnn.add; got {self.merge!r}."
            )
        try:
            _ = self.output_size
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"bidirectional: {getattr(self.merge, '__name__', self.merge)} cannot merge "
                f"outputs of width {self.forward.output_size} and "
                f"{self.backward.output_size}: {error}"
            ) from error

    @property
    def input_size(self) -> int:
        """Width that both directions read."""
        return self.forward.input_size

    @property
    def output_size(self) -> int:
        """Width of the merged outputs."""
        forward_ys = jax.ShapeDtypeStruct((1, self.forward.output_size), jnp.float32)
        backward_ys = jax.ShapeDtypeStruct((1, self.backward.output_size), jnp.float32)
        return jax.eval_shape(self.merge, forward_ys, backward_ys).shape[-1]

    @property
    def takes_tokens(self) -> bool:
        """Whether both directions read token ids."""
        return self.forward.takes_tokens

    def init(self, key: jax.Array) -> BidirectionalParams:
        """Draw the parameters of both directions."""
        forward_key, backward_key = jax.random.split(key)
        return BidirectionalParams(
            forward=self.forward.init(forward_key), backward=self.backward.init(backward_key)
        )

    def initial_carry(self, batch_shape: tuple[int, ...] = ()) -> BidirectionalCarry:
        """The initial carries of both directions."""
        return BidirectionalCarry(
            forward=self.forward.initial_carry(batch_shape),
            backward=self.backward.initial_carry(batch_shape),
        )

    def start(
        self, params: BidirectionalParams, batch_shape: tuple[int, ...] = ()
    ) -> BidirectionalCarry:
        """The starts of both directions."""
        return BidirectionalCarry(
            forward=self.forward.start(params.forward, batch_shape),
            backward=self.backward.start(params.backward, batch_shape),
        )

    def __call__(self, params, carry, x):
        """Not to be had: every output needs the whole sequence."""
        raise TypeError(
            f"{self!r} looks ahead, so it has no single instant; "
            "run it over a whole sequence with jaxrnn.unroll."
        )

    def apply(self, params, carry, xs, fold, context):
        """Both directions over the whole sequence, then `merge`."""
        forward, ys = run(
            self.forward, params.forward, carry.forward, xs, fold, context.inside("forward", 0)
        )
        backward, backward_ys = run(
            reverse(self.backward),
            params.backward,
            carry.backward,
            xs,
            fold,
            context.inside("backward", 1),
        )
        return BidirectionalCarry(forward=forward, backward=backward), self.merge(ys, backward_ys)


def bidirectional(
    forward: Layer, backward: Layer | None = None, merge: Merge = concatenate
) -> Bidirectional:
    """Read a sequence both ways and merge the outputs, each at the time of its input.

        y_t = merge(forward_t(x_1 … x_t), backward_t(x_T … x_t))

    Source: Schuster & Paliwal (1997), doi:10.1109/78.650093.

    Args:
      forward: the layer that reads from the start.
      backward: the layer that reads from the end; None for one like `forward`, with parameters of
        its own.
      merge: `concatenate`, `add`, or any function of the two outputs `[time, *batch, width]`.

    Returns:
      A network whose parameters and carry have the fields `forward` and `backward`.

    Raises:
      ValueError: if the two read different widths, or `merge` cannot join what they write.

    Example:
      >>> import jax, jax.numpy as jnp, jaxrnn
      >>> network = jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 5))
      >>> carry, ys = jaxrnn.unroll(network, network.init(jax.random.key(0)), jnp.ones((10, 2, 3)))
      >>> ys.shape
      (10, 2, 9)
    """
    return Bidirectional(forward, forward if backward is None else backward, merge)
