"""Writing text: a compiled loop draws each token from the prediction and feeds it back."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.cell import specification
from jaxrnn.errors import InputError, NonFiniteError
from jaxrnn.networks import Stack
from jaxrnn.text.prompts import read_prompts
from jaxrnn.text.stop_strings import Stop, StopScanner
from jaxrnn.text.tokens import Policy, refuse
from jaxrnn.text.transforms import Transform, memory, transformed
from jaxrnn.text.vocabulary import Vocabulary

FIRST = 32  # tokens of the first piece
GROWTH = 8  # times as many in the next
BLOCK = 128  # tokens whose random numbers are drawn together
NOISE = 2**22  # random numbers held at once; of a large vocabulary fewer tokens are drawn together


def generate(
    network,
    params,
    vocabulary: Vocabulary,
    prompts: Sequence[str],
    length: int,
    key: jax.Array,
    temperature: float = 1.0,
    chunk: int = 1024,
    *,
    transforms: Sequence[Transform] = (),
    stops: Sequence[Stop] = (),
    unknown: Policy = refuse,
) -> Iterator[tuple[str, ...]]:
    """Continue each prompt by `length` tokens, and hand the text out as it is written.

        token = argmaxᵢ (logitᵢ + temperature · gᵢ),   gᵢ ~ Gumbel(0, 1)

    which draws from softmax(logits / temperature) without a division: temperature 0 is the most
    likely token. The random numbers belong to a stream and a position, so that the text does not
    depend on `chunk`, nor a stream on the others.

    The first piece is of 32 tokens, and each is eight times as long as the one before: the
    beginning is there at once, and the loop is seldom left.

    Source: Maddison, Tarlow and Minka (2014), "A* Sampling", arXiv:1411.0030 (Gumbel-max trick).

    Args:
      network: a layer from tokens to logits over the vocabulary.
      params: its parameters.
      vocabulary: what the tokens mean.
      prompts: one text per stream, none of them empty; lengths may differ.
      length: tokens to write in each stream.
      key: the source of chance; the same key writes the same text.
      temperature: 0 or more; below 1 is more cautious, above 1 more adventurous.
      chunk: the most tokens between two pieces of text.
      transforms: what becomes of logits / temperature (at temperature 0 of the logits) before a
        token is drawn, in this order: `top_k`, `top_p`, `repetition_penalty`, `forbid`, or
        functions of your own.
      stops: strings that end a stream, `stop_before` or `stop_after`; its further pieces are empty,
        and all is over when every stream has ended.
      unknown: what becomes of characters or words of a prompt that the vocabulary does not know:
        `refuse`, `skip` or `replace(by)`.

    Returns:
      An iterator of pieces, each a tuple of one string per stream, without the prompts.

    Raises:
      InputError: if an argument is out of range.
      VocabularyError: if a prompt holds an unknown character, and `unknown` refuses it.
      NonFiniteError: if the network's prediction is not finite.

    Example:
      >>> import jaxrnn
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> vocabulary = CharVocabulary("abc")
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.GRU(3, 8), jaxrnn.Linear(8, 3))
      >>> params = network.init(jax.random.key(0))
      >>> pieces = generate(network, params, vocabulary, ["ab", "c"], 40, jax.random.key(1))
      >>> [len(first) + len(second) for first, second in pieces]
      [64, 16]
    """
    _check(prompts, length, temperature, chunk)
    transforms = tuple(transforms)
    encoded = [unknown(vocabulary, prompt).astype(np.int32) for prompt in prompts]
    if not all(map(len, encoded)):
        raise InputError("there is nothing in the prompt that the vocabulary knows.")
    # Read here rather than in the generator below: errors come before the text.
    carry, logits = read_prompts(network, params, encoded)
    if not np.isfinite(logits).all():
        raise NonFiniteError("the network predicts no finite number after the prompt.", step=0)
    back = memory(transforms)
    recent = [np.pad(tokens, (back, 0), constant_values=-1)[len(tokens) :] for tokens in encoded]
    state = _State(carry, logits, np.array(recent, np.int32))
    if isinstance(network, Stack) and vocabulary.size <= length * len(prompts):
        params = _look_up(network, params)
        network = _reader(network)
    tokens = _tokens(network, transforms, chunk, length, params, state, key, temperature)
    return _texts(tokens, [vocabulary.decoder() for _ in prompts], stops)


@functools.partial(jax.jit, static_argnums=0)
def _look_up(network, params):
    """What the lowest layer makes of every token, taken once instead of at every instant."""
    return network.looking_up(params)[1]


@functools.lru_cache(maxsize=128)
def _reader(network):
    """The network that reads these parameters; the carry is the same."""
    found = []

    def trace(params):
        reader, params = network.looking_up(params)
        found.append(reader)
        return params

    jax.eval_shape(trace, specification(network))
    return found[0]


class _State(NamedTuple):
    """Where the streams stand; [streams] are the leading axes."""

    carry: Any
    logits: jax.Array  # of the next token
    recent: jax.Array  # [streams, memory]


def _check(prompts, length, temperature, chunk):
    if isinstance(prompts, str):
        raise InputError(f"prompts is one text; give a list, one for each stream: [{prompts!r}].")
    if not prompts or not all(prompts):
        raise InputError("there is nothing to continue: give a prompt of at least one character.")
    if length < 0:
        raise InputError(f"length is {length}; give 0 or more.")
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature is {temperature}; give a number from 0 upwards.")
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; give a positive number.")


def _texts(pieces, decoders, stops):
    scanners = [StopScanner(stops) for _ in decoders]
    for tokens, final in pieces:
        streams = zip(scanners, decoders, tokens, strict=True)
        yield tuple(scan(decode(new, final=final), final=final) for scan, decode, new in streams)
        if stops and all(scanner.ended for scanner in scanners):
            return


def _tokens(network, transforms, chunk, length, params, state, key, temperature):
    """Pieces [streams, time] of the tokens to write, each with whether it is the last."""
    start, count = 0, FIRST
    while start < length:
        count = min(count, chunk, length - start)
        state, tokens = _write(
            *(network, transforms, chunk, params, state, key, start, temperature, count)
        )
        start += count
        yield np.asarray(tokens)[:count].T, start >= length
        count *= GROWTH


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _write(network, transforms, most, params, state, key, start, temperature, count):
    """Write `count` tokens, at most `most`: the state after them, and [most, streams]."""
    streams, size = state.logits.shape
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(streams))
    # At least float32: in bfloat16 the noise would have too few values to be fair.
    dtype = jnp.promote_types(state.logits.dtype, jnp.float32)
    temperature = jnp.asarray(temperature, dtype)

    def noise(position):
        def draw(key):
            return jax.random.gumbel(jax.random.fold_in(key, position), (size,), dtype)

        return temperature * jax.vmap(draw)(keys)

    def choose(logits, recent, noise):
        logits = logits.astype(dtype)
        if transforms:
            # Too cold to divide by: nothing but the most likely token is drawn anyway.
            divisor = jnp.where(temperature > 1e-6, temperature, 1)
            logits = transformed(transforms, logits / divisor, recent)
            noise = noise / divisor
        return jnp.argmax(logits + noise).astype(jnp.int32)

    def write_one(place, written, noise):
        state, tokens = written
        new = jax.vmap(choose)(state.logits, state.recent, noise)
        carry, logits = network(params, state.carry, new)
        recent = jnp.concatenate([state.recent, new[:, None]], axis=1)[:, 1:]
        return _State(carry, logits, recent), lax.dynamic_update_index_in_dim(
            tokens, new, place, axis=0
        )

    block = max(1, min(BLOCK, most, NOISE // state.logits.size))

    def write_block(number, written):
        begin = number * block
        # All random numbers of a block at once: inside the loop they took longer than small cells.
        noises = jax.vmap(noise)(start + begin + jnp.arange(block))

        def body(place, written):
            return write_one(place, written, noises[place - begin])

        return lax.fori_loop(begin, jnp.minimum(begin + block, count), body, written)

    tokens = jnp.zeros((most, streams), jnp.int32)
    return lax.fori_loop(0, -(-count // block), write_block, (state, tokens))
