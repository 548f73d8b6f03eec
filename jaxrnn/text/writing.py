"""Writing as a user asks for it: a configuration, and text on the screen as it is written."""

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from typing import Literal, TextIO

import jax

from jaxrnn.errors import InputError
from jaxrnn.text.language_model import LanguageModel
from jaxrnn.text.sampling import generate
from jaxrnn.text.stop_strings import Stop, stop_after, stop_before
from jaxrnn.text.tokens import Policy, refuse, replace, skip
from jaxrnn.text.transforms import Transform, forbid, repetition_penalty, top_k, top_p
from jaxrnn.text.vocabulary import Vocabulary
from jaxrnn.text.word_vocabulary import MARK, WordVocabulary


@dataclasses.dataclass(frozen=True)
class UnknownConfig:
    """What becomes of what the vocabulary does not know."""

    unknown: Literal["refuse", "skip", "replace"] | None = None
    """If not given, unknown characters are refused, and unknown words are what training made them:
    one word that stands for all."""
    replacement: str | None = None
    """The character or word to replace each by; a space, or that word, if not given."""

    def policy(self, vocabulary: Vocabulary) -> Policy:
        """The function of `jaxrnn.text.tokens` that this asks for.

        Raises:
          InputError: if there is a replacement, but nothing is to be replaced.
        """
        words = isinstance(vocabulary, WordVocabulary)
        if self.replacement is not None and self.unknown != "replace":
            raise InputError("a replacement is given, but not asked for: add --unknown replace.")
        if self.unknown == "skip":
            return skip
        if self.unknown == "refuse" or (self.unknown is None and not words):
            return refuse
        default = MARK if words else " "
        return replace(default if self.replacement is None else self.replacement)


@dataclasses.dataclass(frozen=True)
class WriteConfig:
    """How to write."""

    length: int = 1000
    """Characters (bytes or words, if the model knows those) to write at most."""
    temperature: float = 0.8
    """0 writes the most likely character each time; 1 writes as the model learned."""
    top_k: int | None = None
    """Draw from this many most likely characters only."""
    top_p: float = 1.0
    """Draw from the most likely characters that together have this probability."""
    repetition_penalty: float = 1.0
    """Above 1 makes what was written lately less likely."""
    repetition_window: int = 64
    """How many characters back a repetition counts."""
    stop: tuple[str, ...] = ()
    """End the text before any of these strings."""
    stop_after: tuple[str, ...] = ()
    """End the text with any of these strings."""

    def transforms(self, vocabulary: Vocabulary) -> tuple[Transform, ...]:
        """What `generate` is to do to the logits; nothing for what stands at its default.

        A word model never writes the mark of an unknown word, which is no word.

        Raises:
          InputError: if a number is out of range.
        """
        penalty = repetition_penalty(self.repetition_penalty, self.repetition_window)
        wanted = (
            (isinstance(vocabulary, WordVocabulary), forbid(0)),
            (self.repetition_penalty != 1, penalty),
            (self.top_k is not None, top_k(1 if self.top_k is None else self.top_k)),
            (self.top_p != 1, top_p(self.top_p)),
        )
        return tuple(transform for asked, transform in wanted if asked)

    def stops(self) -> tuple[Stop, ...]:
        """The strings that end a text.

        Raises:
          InputError: if one is empty.
        """
        return (*map(stop_before, self.stop), *map(stop_after, self.stop_after))

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse now what would otherwise be refused after the training.

        Raises:
          InputError: if a number is out of range.
        """
        if self.length < 0:
            raise InputError(f"length is {self.length}; give 0 or more.")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}; give a number from 0 upwards.")
        self.transforms(vocabulary)
        self.stops()


def write(
    model: LanguageModel,
    prompt: str,
    config: WriteConfig,
    key: jax.Array,
    streams: int = 1,
    unknown: Policy = refuse,
) -> Iterator[tuple[str, ...]]:
    """`generate`, as a configuration says: several continuations of one prompt.

    Args:
      model: a trained model.
      prompt: what to continue.
      config: how.
      key: the source of chance.
      streams: how many texts to write.
      unknown: what becomes of unknown parts of the prompt.

    Returns:
      An iterator of pieces, each a tuple of one string per stream, without the prompt.

    Raises:
      InputError: as `generate` does.
    """
    if streams < 1:
        raise InputError(f"streams is {streams}; give a positive number.")
    return generate(
        *model,
        *([prompt] * streams, config.length, key, config.temperature),
        transforms=config.transforms(model.vocabulary),
        stops=config.stops(),
        unknown=unknown,
    )


def show(prompt: str, pieces: Iterator[tuple[str, ...]]) -> None:
    r"""Print the first stream as it is written, the others after it.

    Args:
      prompt: what every stream begins with.
      pieces: from `generate` or `write`.

    Example:
      >>> show("a", iter([("b", "c"), ("d", "e")]))
      abd
      <BLANKLINE>
      --- stream 2 ---
      ace
    """
    print(prompt, end="", flush=True)
    others = []
    for first, *rest in pieces:
        print(first, end="", flush=True)
        others.append(rest)
    print()
    for stream, written in enumerate(zip(*others, strict=True), start=2):
        print(f"\n--- stream {stream} ---\n{prompt}{''.join(written)}")


def converse(
    model: LanguageModel,
    lines: TextIO,
    config: WriteConfig,
    key: jax.Array,
    streams: int = 1,
    unknown: Policy = refuse,
) -> None:
    """Continue one line after the other, each from a fresh carry, until there are no more.

    A line that cannot be continued is complained of, on the error stream, and does not end it.

    Args:
      model: a trained model.
      lines: where they come from; a terminal is asked for each. An empty one begins a new text.
      config: how to write.
      key: the source of chance; every line has a key of its own, so that the same line need not be
        continued by the same text.
      streams: how many texts to write for each line.
      unknown: what becomes of unknown parts of a line.
    """
    for number in itertools.count():
        if lines.isatty():
            print("> ", end="", flush=True)
        line = lines.readline()
        if not line:
            return
        prompt = line.removesuffix("\n") or model.vocabulary.beginning
        answer = jax.random.fold_in(key, number)
        try:
            show(prompt, write(model, prompt, config, answer, streams, unknown))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
