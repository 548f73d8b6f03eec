"""The text that a user names, and what of it is held out: a configuration."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from jaxrnn.text.corpus import Corpus, read_bytes, read_text, standard_library_source
from jaxrnn.text.splits import Split, split, split_80_10_10, split_90_10, split_columns_95_5
from jaxrnn.text.vocabulary import ByteVocabulary, CharVocabulary, Vocabulary, WordVocabulary


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """The text, and the part of it that is held out of training."""

    text: Path | None = None
    """A text file; the source code of Python's standard library if not given."""
    limit: int = 3_000_000
    """Characters of the standard library."""
    held_out: float = 0.1
    """Share of the text, at its end, for validation."""
    split: Literal["end", "90/10", "80/10/10", "columns"] = "end"
    """Hold out that share; or what nanoGPT, torch-rnn (with a test) or char-rnn hold out."""
    columns: tuple[int, int] = (50, 50)
    """Streams and length of char-rnn's columns; its batch and window there."""

    def read(self, as_bytes: bool) -> Corpus:
        """The whole text.

        Raises:
          CorpusError: if it cannot be read.
        """
        if self.text is None:
            return standard_library_source(self.limit)
        return read_bytes(self.text) if as_bytes else read_text(self.text)

    def parts(self, tokens) -> Split:
        """The tokens of the text, split.

        Raises:
          InputError: if a number is out of range, or there is too little text.
        """
        match self.split:
            case "90/10":
                return split_90_10(tokens)
            case "80/10/10":
                return split_80_10_10(tokens)
            case "columns":
                return split_columns_95_5(tokens, *self.columns)
        return split(tokens, self.held_out)

    def origin(self, corpus: Corpus, parts: Split) -> dict[str, Any]:
        """What a model file is to remember of the text that a model was trained on."""
        share = {"held_out": self.held_out} if self.split == "end" else {}
        return {"text": corpus.description, "split": parts.name} | share

    def note(self, origin: dict[str, Any], corpus: Corpus, parts: Split) -> str | None:
        """A warning if what is measured may be what the model has learned from.

        Args:
          origin: what the model file remembers, or nothing.
          corpus: the text that is measured on.
          parts: how it was split.

        Returns:
          One line, or None if the model was trained on this text, split in this way.
        """
        here = self.origin(corpus, parts)
        same = origin.get("text") == here["text"]
        share = origin.get("held_out")
        if same and (share, origin.get("split", here["split"])) == (
            here.get("held_out"),
            here["split"],
        ):
            return None
        learned = origin.get("text", "a text that its file does not name")
        if share is None and "split" in origin:
            how = f"split {origin['split']}"
        else:
            share = "an unknown share" if share is None else share
            how = f"with {share} of it held out at its end"
        smaller = isinstance(share, float) and self.split == "end" and self.held_out < share
        what = (
            "what is measured here is a part of that"
            if same and smaller
            else "what is measured here may include what it learned from"
        )
        return f"note: the model was trained on {learned}, {how}; {what}"


def choose_vocabulary(corpus: Corpus, as_bytes: bool, words: int | None) -> Vocabulary:
    """The vocabulary for a text: its characters, unless bytes or words are asked for.

    Args:
      corpus: the text.
      as_bytes: whether bytes are asked for.
      words: how many words, or None.

    Raises:
      VocabularyError: if there is no room for a word.
    """
    if as_bytes:
        return ByteVocabulary()
    if words is not None:
        return WordVocabulary.from_text(corpus.text, limit=words)
    return CharVocabulary.from_text(corpus.text)
