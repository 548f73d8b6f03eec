"""The activations of ONNX's recurrent operators."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.description import register
from jaxrnn.errors import ConversionError


class _Kind(NamedTuple):
    """An activation: its function of (x, α, β), and what α and β are unless a file says it.

    None where the function has no such argument; NaN where it has one without a default.
    """

    function: Callable[..., jax.Array]
    alpha: float | None = None
    beta: float | None = None


def _elu(x, alpha, beta):
    del beta
    return jnp.where(x >= 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))  # no overflow, no NaN slope


# Defaults are those of the operators of the same name, as the specification says. There is no
# operator Affine or ScaledTanh any more, and runtimes read 0 where the old one had 1.
KINDS = {
    "Relu": _Kind(lambda x, a, b: jax.nn.relu(x)),
    "Tanh": _Kind(lambda x, a, b: jnp.tanh(x)),
    "Sigmoid": _Kind(lambda x, a, b: jax.nn.sigmoid(x)),
    "Affine": _Kind(lambda x, a, b: a * x + b, math.nan, math.nan),
    "LeakyRelu": _Kind(lambda x, a, b: jnp.where(x >= 0, x, a * x), 0.01),
    "ThresholdedRelu": _Kind(lambda x, a, b: jnp.where(x > a, x, jnp.zeros_like(x)), 1.0),
    "ScaledTanh": _Kind(lambda x, a, b: a * jnp.tanh(b * x), math.nan, math.nan),
    "HardSigmoid": _Kind(lambda x, a, b: jnp.clip(a * x + b, 0, 1), 0.2, 0.5),
    "Elu": _Kind(_elu, 1.0),
    "Softsign": _Kind(lambda x, a, b: x / (1 + jnp.abs(x))),
    "Softplus": _Kind(lambda x, a, b: jax.nn.softplus(x)),
}
_BY_LOWER_CASE = {name.lower(): name for name in KINDS}  # runtimes do not mind the case


@register
@dataclasses.dataclass(frozen=True)
class OnnxActivation:
    """An activation of ONNX, with its α and β, behind the operator's clip.

        φ(clip(x, −c, c))

    with φ one of Relu, Tanh, Sigmoid, Softsign, Softplus, and

        Affine           α x + β
        LeakyRelu        x if x ≥ 0 else α x
        ThresholdedRelu  x if x > α else 0
        Elu              x if x ≥ 0 else α (eˣ − 1)
        ScaledTanh       α tanh(β x)
        HardSigmoid      min(max(α x + β, 0), 1)

    Attributes:
      kind: its name in ONNX.
      alpha: α; not used by those that have none.
      beta: β; not used by those that have none.
      clip: c, or None for no clipping.

    Raises:
      ValueError: if ONNX has no activation of that name, or a number is not finite.

    Example:
      >>> OnnxActivation("HardSigmoid", alpha=0.5, beta=0.25)(jnp.array([-1.0, 0.5, 9.0])).tolist()
      [0.0, 0.5, 1.0]
    """

    kind: str
    alpha: float = 0.0
    beta: float = 0.0
    clip: float | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ConversionError(
                f"OnnxActivation: ONNX has no activation {self.kind!r:.40}, but {', '.join(KINDS)}."
            )
        for name in ("alpha", "beta", "clip"):
            value = getattr(self, name)
            if name == "clip" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"OnnxActivation: {name} must be a number, got {value!r:.40}.")
            if not math.isfinite(value):
                raise ValueError(f"OnnxActivation: {name} must be finite, got {value}.")
        if self.clip is not None and self.clip <= 0:
            raise ValueError(f"OnnxActivation: clip must be positive, got {self.clip}.")

    def __call__(self, x: jax.Array) -> jax.Array:
        """φ(clip(x))."""
        x = x if self.clip is None else jnp.clip(x, -self.clip, self.clip)
        return KINDS[self.kind].function(x, self.alpha, self.beta)

    @property
    def takes(self) -> dict[str, float]:
        """Those of alpha and beta that the function has, with their values."""
        kind = KINDS[self.kind]
        return {
            name: getattr(self, name)
            for name in ("alpha", "beta")
            if getattr(kind, name) is not None
        }


def parse_activations(
    names: list[str], alphas: list[float], betas: list[float]
) -> list[OnnxActivation]:
    """Activations of one node, from its attributes.

    The values of `activation_alpha` and `activation_beta` are consumed by the functions that take
    one, in their order; missing ones are the defaults.

    Args:
      names: `activations`, of all directions.
      alphas: `activation_alpha`.
      betas: `activation_beta`.

    Returns:
      One activation per name.

    Raises:
      ConversionError: if a name is unknown, a value is missing that has no default, or there are
        more values than functions that take one, and it is not clear which are theirs.

    Example:
      >>> parse_activations(["Tanh", "LeakyRelu"], [0.5], [])[1].alpha
      0.5
    """
    known = []
    for name in names:
        if name.lower() not in _BY_LOWER_CASE:
            raise ConversionError(
                f"the activation {name!r:.40} is none of ONNX's: {', '.join(KINDS)}."
            )
        known.append(_BY_LOWER_CASE[name.lower()])
    values = {
        "alpha": _deal("alpha", known, alphas),
        "beta": _deal("beta", known, betas),
    }
    return [
        OnnxActivation(kind, alpha=values["alpha"][place], beta=values["beta"][place])
        for place, kind in enumerate(known)
    ]


def _deal(argument, kinds, given):
    """One value of an argument for each function: the ones given, then the defaults."""
    defaults = [getattr(KINDS[kind], argument) for kind in kinds]
    takers = [place for place, default in enumerate(defaults) if default is not None]
    dealt = dict(zip(takers, given, strict=False))
    # Some writers give every function a value; old runtimes read them by place, newer in order.
    by_place = {place: given[place] for place in takers} if len(given) == len(kinds) else dealt
    if by_place != dealt:
        raise ConversionError(
            f"activation_{argument} has {len(given)} values for {len(takers)} activations that "
            f"take one ({', '.join(kinds)}): give it {len(takers)}, in their order."
        )
    values = [dealt.get(place, default or 0.0) for place, default in enumerate(defaults)]
    for kind, value in zip(kinds, values, strict=True):
        if math.isnan(value):
            raise ConversionError(
                f"the activation {kind} needs activation_{argument}: the specification has no "
                "default for it, and runtimes differ."
            )
    return values
