"""Two commands of `char_lm.py`, for texts that are too large for memory."""

import dataclasses
from pathlib import Path

from command_line import Interrupted

from jaxrnn import text
from jaxrnn.training import stop_signals


@dataclasses.dataclass(frozen=True)
class Preparing:
    """A text, and where its tokens go."""

    text: Path
    """The text file."""
    out: Path | None = None
    """The file of tokens; beside the text, with the suffix .tokens, if not given."""
    bytes: bool = False
    """Bytes instead of characters, so that any file will do."""
    words: int | None = None
    """Words instead of characters, this many of the most frequent."""
    encoding: str = "utf-8"
    """Encoding of the characters, by any name that Python knows."""


def prepare(preparing: Preparing) -> None:
    """Write the tokens of a text to a file, to train on texts that are too large for memory.

    Args:
        preparing: A text, and where its tokens go.
    """
    source = preparing.text
    out = source.parent / f"{source.stem}.tokens" if preparing.out is None else preparing.out
    with stop_signals() as stop, text.progress_of("preparing") as show:

        def tell(share):
            if stop():
                raise Interrupted(stop())
            show(share)

        choice = preparing.bytes, preparing.words, preparing.encoding
        corpus = text.prepare(source, out, *choice, tell=tell)
    vocabulary = corpus.vocabulary
    print(f"text: {corpus.description}")
    print(
        f"wrote {corpus.tokens.size:,} {vocabulary.unit}s, {vocabulary.size:,} different ones, in "
        f"{out.stat().st_size:,} bytes: {out}"
    )


def verify(tokens: Path) -> None:
    """Read a file of tokens from end to end, and say whether it is as it was written.

    Args:
        tokens: The file.
    """
    file = text.TokenFile(tokens)
    with text.progress_of("reading") as show:
        file.check(show)
    print(f"as it was written: {tokens}, {file.corpus.tokens.size:,} tokens of the text")
    print(f"{file.corpus.description}, SHA-256 {file.corpus.sha256}")
