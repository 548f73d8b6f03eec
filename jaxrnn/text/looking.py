"""Looking inside: what a model expected at each place of a text, and what its units did there."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.cell import named_leaves
from jaxrnn.errors import InputError
from jaxrnn.text.language_model import LanguageModel
from jaxrnn.training.losses import widen
from jaxrnn.wrappers.recording import Record

LONGEST = 20_000  # tokens; every state of every layer is kept, and drawn


class Guess(NamedTuple):
    """What a model held likely at one place."""

    piece: str
    probability: float


class Reading(NamedTuple):
    """A text as a model read it, place by place.

    Attributes:
      pieces: the text of every token.
      surprise: [time], nats; −log of the probability of the token, NaN for the first, which
        nothing was known about.
      guesses: for every token the likeliest ones there, the best first; none for the first.
      units: per state of a recurrent layer, by a name such as "layers.1.h", [time, units] after
        reading the token, from −1 to 1: a state that goes beyond is shown as its tanh, as in the
        source below.
    """

    pieces: tuple[str, ...]
    surprise: np.ndarray
    guesses: tuple[tuple[Guess, ...], ...]
    units: dict[str, np.ndarray]


def look(model: LanguageModel, tokens: np.ndarray) -> Reading:
    """Let a model read a text, and keep what went on in it.

    Source: Karpathy, Johnson and Li (2016), "Visualizing and Understanding Recurrent Networks",
    section 4.2, arXiv:1506.02078 (single units, drawn over the text).

    Args:
      model: a trained model.
      tokens: [time]; at least two and at most 20,000.

    Raises:
      InputError: if the text is too short or too long.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.LSTM(3, 8), jaxrnn.Linear(8, 3))
      >>> params = network.init(jax.random.key(0))
      >>> model = LanguageModel(network, params, CharVocabulary("abc"))
      >>> reading = look(model, model.vocabulary.encode("abcab"))
      >>> reading.pieces, reading.surprise.shape, len(reading.guesses[1])
      (('a', 'b', 'c', 'a', 'b'), (5,), 3)
      >>> {name: units.shape for name, units in reading.units.items()}
      {'layers.1.h': (5, 8), 'layers.1.c': (5, 8)}
    """
    if not 2 <= len(tokens) <= LONGEST:
        raise InputError(
            f"the text to look at has {len(tokens):,} {model.vocabulary.unit}s; give from 2 to "
            f"{LONGEST:,} of them."
        )
    tokens = np.asarray(tokens, np.int32)
    history, logits = jaxrnn.unroll_history(model.network, model.params, tokens)
    log_probs = jax.nn.log_softmax(widen("logits", logits[:-1]))
    found = jnp.take_along_axis(log_probs, tokens[1:, None], axis=-1)[:, 0]
    best = jax.lax.top_k(log_probs, min(3, model.vocabulary.size))
    decode = model.vocabulary.decode
    guesses = tuple(
        tuple(Guess(decode([token]), math.exp(share)) for share, token in zip(*row, strict=True))
        for row in zip(*map(np.asarray, best), strict=True)
    )
    return Reading(
        pieces=tuple(decode([token]) for token in tokens),
        surprise=np.concatenate([[np.nan], -found]),
        guesses=((), *guesses),
        units=_units(history),
    )


def telling_units(units: np.ndarray, count: int) -> list[int]:
    """The units that swing widest and turn slowest: in those there is most to see.

        score = σ · r,   r the correlation of a unit with itself one token later

    Args:
      units: [time, units].
      count: how many to choose, if there are as many.

    Returns:
      Their numbers, the best first.

    Example:
      >>> t = np.arange(100)
      >>> telling_units(np.stack([np.sin(t / 10), np.sin(3 * t), 0.01 * np.cos(t / 9)], axis=1), 2)
      [0, 2]
    """
    deviation = units - units.mean(axis=0)
    variance = np.mean(deviation**2, axis=0)
    correlation = np.mean(deviation[1:] * deviation[:-1], axis=0) / np.maximum(variance, 1e-12)
    score = np.sqrt(variance) * correlation
    return [int(unit) for unit in np.argsort(-score, kind="stable")[:count]]


def visible(piece: str) -> str:
    r"""A piece of text as something that can be seen, with a sign for what cannot.

    Example:
      >>> print(visible("a b\tc\x00"))
      a b→c·
      >>> visible("\n") == "⏎\n"
      True
    """
    signs = {"\n": "⏎\n", "\t": "→"}
    return "".join(c if c.isprintable() else signs.get(c, "·") for c in piece)


def _units(history) -> dict[str, Any]:
    found = {}
    for name, record in _records(history):
        for leaf_name, leaf in named_leaves(record.carry):
            if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim == 2:
                values = np.asarray(leaf, np.float64)
                beyond = np.abs(values).max() > 1
                label = ".".join(filter(None, (name, leaf_name)))
                found[label] = np.tanh(values) if beyond else values
    return found


def _records(history):
    paths, _ = jax.tree_util.tree_flatten_with_path(
        history, is_leaf=lambda node: isinstance(node, Record)
    )
    for path, node in paths:
        if isinstance(node, Record):
            yield jax.tree_util.keystr(path, simple=True, separator="."), node
