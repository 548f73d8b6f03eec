"""What may be done to the logits before a token is drawn from them.

A transform is a pure function `(logits, recent) -> logits` of one stream: `logits` [tokens] are
divided by the temperature already, `recent` [memory] are the tokens before, the newest last, −1
where the text is not that long. `generate` applies them in the order given. One that looks back
says how far with an attribute `memory`; without it, it sees nothing of the past. A transform is
hashable, because it is compiled in: what is not asked for costs nothing.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.errors import InputError

Logits = Float[Array, "tokens"]
Recent = Int[Array, "memory"]
Transform = Callable[[Logits, Recent], Logits]


def memory(transforms) -> int:
    """How many tokens back the transforms look.

    Example:
      >>> memory((top_k(5), repetition_penalty(1.2, last=20)))
      20
    """
    return max((getattr(transform, "memory", 0) for transform in transforms), default=0)


def transformed(transforms, logits: Logits, recent: Recent) -> Logits:
    """The logits behind all transforms, from the first to the last."""
    for transform in transforms:
        looks_back = getattr(transform, "memory", 0)
        logits = transform(logits, recent[recent.size - looks_back :])
    return logits


@dataclasses.dataclass(frozen=True)
class _TopK:
    k: int

    def __call__(self, logits, recent):
        del recent
        if self.k >= logits.size:
            return logits
        return _keep(logits, at_least=jax.lax.top_k(logits, self.k)[0][-1])


def top_k(k: int) -> Transform:
    """Draw from the k most likely tokens only; from more where several are equally likely.

    Source: Fan, Lewis and Dauphin (2018), "Hierarchical Neural Story Generation", section 5.1,
    arXiv:1805.04833.

    Args:
      k: at least 1; 1 writes the most likely token each time.

    Raises:
      InputError: if it is less.

    Example:
      >>> top_k(2)(jnp.array([0.5, 2.0, 1.0]), jnp.zeros(0, int)).tolist()
      [-inf, 2.0, 1.0]
    """
    if k < 1:
        raise InputError(f"top-k is {k}; give a positive number.")
    return _TopK(k)


@dataclasses.dataclass(frozen=True)
class _TopP:
    p: float

    def __call__(self, logits, recent):
        del recent
        if self.p == 1:  # exactly all: a sum of probabilities may reach 1 a little early
            return logits
        falling = jnp.sort(logits, descending=True)
        masses = jnp.cumsum(jax.nn.softmax(falling))
        # A token is kept while those before it do not reach p: the first one always is.
        before = jnp.concatenate([jnp.zeros(1, masses.dtype), masses[:-1]])
        last = jnp.sum(before < self.p) - 1
        return _keep(logits, at_least=falling[last])


def top_p(p: float) -> Transform:
    """Draw from the nucleus only: the fewest most likely tokens whose probabilities reach p.

    Equally likely tokens at its border are all kept.

    Source: Holtzman, Buys, Du, Forbes and Choi (2020), "The Curious Case of Neural Text
    Degeneration", section 3.1, arXiv:1904.09751.

    Args:
      p: above 0 and at most 1.

    Raises:
      InputError: if it is not.

    Example:
      >>> probabilities = jnp.array([0.2, 0.5, 0.3])
      >>> jnp.isfinite(top_p(0.6)(jnp.log(probabilities), jnp.zeros(0, int))).tolist()
      [False, True, True]
    """
    if not 0 < p <= 1:
        raise InputError(f"top-p is {p}; give a share above 0 and at most 1.")
    return _TopP(p)


@dataclasses.dataclass(frozen=True)
class _RepetitionPenalty:
    penalty: float
    memory: int

    def __call__(self, logits, recent):
        # What stands for nothing lies beyond the last token, and is dropped.
        places = jnp.where(recent < 0, logits.size, recent)
        seen = jnp.zeros(logits.size, bool).at[places].set(True, mode="drop")
        lowered = jnp.where(logits > 0, logits / self.penalty, logits * self.penalty)
        return jnp.where(seen, lowered, logits)


def repetition_penalty(penalty: float, last: int = 64) -> Transform:
    """Make what was written lately less likely.

        logit ← logit / penalty  if logit > 0, else logit · penalty,   for each recent token

    Source: Keskar, McCann, Varshney, Xiong and Socher (2019), "CTRL", section 4.1,
    arXiv:1909.05858. Differs from it in two ways: there a negative logit is divided too, which
    would make the token more likely; and there the whole text counts, which of a few dozen
    characters would soon penalize all.

    Args:
      penalty: above 0; 1 changes nothing, and below 1 repetition is encouraged.
      last: how many tokens back a repetition counts, the prompt included.

    Raises:
      InputError: if a number is out of range.

    Example:
      >>> logits = jnp.array([2.0, -2.0, 2.0])
      >>> repetition_penalty(2.0)(logits, jnp.array([-1, 0, 1])).tolist()
      [1.0, -4.0, 2.0]
    """
    if not 0 < penalty < float("inf"):
        raise InputError(f"repetition penalty is {penalty}; give a number above 0.")
    if last < 1:
        raise InputError(f"the repetition penalty looks back {last} tokens; give at least 1.")
    return _RepetitionPenalty(penalty, last)


@dataclasses.dataclass(frozen=True)
class _Forbid:
    tokens: tuple[int, ...]

    def __call__(self, logits, recent):
        del recent
        size = logits.size
        if not all(0 <= token < size for token in self.tokens):
            raise InputError(f"forbid{self.tokens}: there are tokens from 0 to {size - 1}.")
        if len(set(self.tokens)) == size:
            raise InputError("every token is forbidden; leave at least one.")
        return logits.at[jnp.array(self.tokens)].set(-jnp.inf)


def forbid(*tokens: int) -> Transform:
    """Never write these tokens; `forbid(0)` keeps a word model from writing unknown words.

    Args:
      *tokens: at least one.

    Raises:
      InputError: if there is none, or one is negative.

    Example:
      >>> forbid(1)(jnp.zeros(3), jnp.zeros(0, int)).tolist()
      [0.0, -inf, 0.0]
    """
    if not tokens or min(tokens) < 0:
        raise InputError(f"the tokens to forbid are {tokens}; give some, from 0 upwards.")
    return _Forbid(tokens)


def _keep(logits, at_least):
    return jnp.where(logits < at_least, -jnp.inf, logits)
