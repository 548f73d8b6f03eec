"""Writing text: a jitted loop draws each token from the network's prediction and feeds it back."""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.errors import InputError, NonFiniteError
from jaxrnn.text.vocabulary import Vocabulary


def generate(
    network,
    params,
    vocabulary: Vocabulary,
    prompts: Sequence[str],
    length: int,
    key: jax.Array,
    temperature: float = 1.0,
    chunk: int = 32,
) -> Iterator[tuple[str, ...]]:
    """Continue each prompt by `length` tokens, and hand the text out as it is written.

        token = argmaxᵢ (logitᵢ + temperature · gᵢ),   gᵢ ~ Gumbel(0, 1)

    which draws from softmax(logits / temperature) without a division: temperature 0 is the most
    likely token. The random numbers belong to a stream and a position, so that the text does not
    depend on `chunk`.

    Source: Maddison, Tarlow and Minka (2014), "A* Sampling", arXiv:1411.0030 (Gumbel-max trick).

    Args:
      network: a layer from tokens to logits over the vocabulary.
      params: its parameters.
      vocabulary: what the tokens mean.
      prompts: one text per stream, none of them empty; lengths may differ.
      length: tokens to write in each stream.
      key: the source of chance; the same key writes the same text.
      temperature: 0 or more; below 1 is more cautious, above 1 more adventurous.
      chunk: tokens between two pieces of text.

    Returns:
      An iterator of pieces, each a tuple of one string per stream, without the prompts.

    Raises:
      InputError: if an argument is out of range.
      VocabularyError: if a prompt holds an unknown character.
      NonFiniteError: if the network's prediction is not finite.

    Example:
      >>> from jaxrnn.text.vocabulary import CharVocabulary
      >>> vocabulary = CharVocabulary("abc")
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.GRU(3, 8), jaxrnn.Linear(8, 3))
      >>> params = network.init(jax.random.key(0))
      >>> pieces = generate(network, params, vocabulary, ["ab", "c"], 40, jax.random.key(1))
      >>> [len(first) + len(second) for first, second in pieces]
      [64, 16]
    """
    _check(prompts, length, temperature, chunk)
    encoded = [vocabulary.encode(prompt) for prompt in prompts]
    # Checked and warmed up here rather than in the generator below: errors come before the text.
    carry, logits = _warm_up(network, params, encoded)
    keys = jax.vmap(lambda stream: jax.random.fold_in(key, stream))(jnp.arange(len(prompts)))
    return _pieces(network, params, vocabulary, carry, logits, keys, length, temperature, chunk)


def _check(prompts, length, temperature, chunk):
    if not prompts or not all(prompts):
        raise InputError("there is nothing to continue: give a prompt of at least one character.")
    if length < 0:
        raise InputError(f"length is {length}; give 0 or more.")
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature is {temperature}; give a number from 0 upwards.")
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; give a positive number.")


def _warm_up(network, params, encoded):
    """The carry and the prediction after each prompt, stacked along a new leading stream axis."""
    ends = []
    # One at a time, because prompts differ in length; equal ones are read once.
    known = {tokens.tobytes(): jaxrnn.unroll(network, params, tokens) for tokens in encoded}
    for tokens in encoded:
        carry, logits = known[tokens.tobytes()]
        ends.append((carry, logits[-1]))
    carry, logits = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ends)
    if not np.isfinite(logits).all():
        raise NonFiniteError("the network predicts no finite number after the prompt.", step=0)
    return carry, logits


def _pieces(network, params, vocabulary, carry, logits, keys, length, temperature, chunk):
    decoders = [vocabulary.decoder() for _ in keys]
    for start in range(0, length, chunk):
        carry, logits, tokens = _write(
            network, chunk, params, carry, logits, keys, start, temperature
        )
        # The last piece is cut after the fact: a shorter loop would have to be compiled anew.
        streams = np.asarray(tokens)[: length - start].T
        final = start + chunk >= length
        yield tuple(
            decoder(stream, final=final) for decoder, stream in zip(decoders, streams, strict=True)
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _write(network, chunk, params, carry, logits, keys, start, temperature):
    def choose(key, position, logits):
        # At least float32: in bfloat16 the noise would have too few values to be fair.
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        noise = jax.random.gumbel(jax.random.fold_in(key, position), logits.shape, logits.dtype)
        return jnp.argmax(logits + jnp.asarray(temperature, logits.dtype) * noise)

    def write_one(state, position):
        carry, logits = state
        token = jax.vmap(choose, in_axes=(0, None, 0))(keys, position, logits)
        return network(params, carry, token), token

    (carry, logits), tokens = jax.lax.scan(write_one, (carry, logits), start + jnp.arange(chunk))
    return carry, logits, tokens
