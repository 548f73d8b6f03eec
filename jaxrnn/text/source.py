"""The text that a user names, and what of it is held out: a configuration."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from jaxrnn.errors import CorpusError, InputError
from jaxrnn.text.corpus import Corpus, read_bytes, read_text, standard_library_source
from jaxrnn.text.encoded import AnyCorpus, EncodedCorpus
from jaxrnn.text.splits import Split, split, split_80_10_10, split_90_10, split_columns_95_5
from jaxrnn.text.token_file import read_tokens
from jaxrnn.text.tokens import Policy
from jaxrnn.text.vocabulary import ByteVocabulary, Vocabulary, check_choice, choose_vocabulary


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """The text, and the part of it that is held out of training."""

    text: Path | None = None
    """A text file; the source code of Python's standard library if not given."""
    encoding: str = "utf-8"
    """Encoding of the characters of that file, by any name that Python knows."""
    tokens: Path | None = None
    """A file of tokens that `prepare` wrote, instead of a text."""
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
        return read_bytes(self.text) if as_bytes else read_text(self.text, self.encoding)

    def encoded(self, as_bytes: bool = False, words: int | None = None) -> EncodedCorpus:
        """The text as tokens, of a vocabulary of its own.

        Args:
          as_bytes: whether bytes are asked for instead of characters.
          words: how many words instead, or None.

        Raises:
          CorpusError: if it cannot be read.
          InputError: if two different things are asked for.
          VocabularyError: if there is no room for a word.
        """
        check_choice(as_bytes, words)
        if self.tokens is None:
            corpus = self.read(as_bytes)
            vocabulary = choose_vocabulary([corpus.text], as_bytes, words)
            return _encoded(corpus, vocabulary, type(vocabulary).encode)
        self._check_one()
        if as_bytes or words is not None:
            raise InputError(
                f"'{self.tokens}' has its vocabulary already: give --bytes or --words to `prepare`."
            )
        return read_tokens(self.tokens)

    def encoded_by(self, vocabulary: Vocabulary, policy: Policy) -> EncodedCorpus:
        """The text as tokens of a vocabulary that is there already.

        Args:
          vocabulary: what the tokens are to mean.
          policy: what becomes of what it does not know.

        Raises:
          CorpusError: if the text cannot be read, or was prepared with another vocabulary.
          VocabularyError: if the policy refuses something.
        """
        if self.tokens is None:
            corpus = self.read(as_bytes=isinstance(vocabulary, ByteVocabulary))
            return _encoded(corpus, vocabulary, policy)
        self._check_one()
        corpus = read_tokens(self.tokens)
        if corpus.vocabulary != vocabulary:
            raise CorpusError(
                f"'{self.tokens}' was prepared with another vocabulary, of "
                f"{corpus.vocabulary.size:,} {corpus.vocabulary.unit}s, than the model's "
                f"{vocabulary.size:,} {vocabulary.unit}s: give the text itself (--text)."
            )
        return corpus

    def _check_one(self):
        if self.text is not None:
            raise InputError("a text or tokens: give --text or --tokens, not both.")

    def check_kept(self, *outputs: Path) -> None:
        """Refuse to write over the text, whatever name or link leads to it.

        Args:
          *outputs: where something is to be written.

        Raises:
          InputError: if one of them is the text, which must have been read before.
        """
        given = self.text or self.tokens
        for output in outputs:
            if given is not None and output.exists() and output.samefile(given):
                raise InputError(
                    f"'{output}' is the text itself and would be overwritten: give another --out."
                )

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

    def origin(self, corpus: AnyCorpus, parts: Split) -> dict[str, Any]:
        """What a model file is to remember of the text that a model was trained on."""
        share = {"held_out": self.held_out} if self.split == "end" else {}
        text = {"text": corpus.description, "sha256": corpus.sha256}
        return text | {"split": parts.name} | share

    def note(self, origin: dict[str, Any], corpus: AnyCorpus, parts: Split) -> str | None:
        """A warning if what is measured may be what the model has learned from.

        Args:
          origin: what the model file remembers, or nothing.
          corpus: the text that is measured on.
          parts: how it was split.

        Returns:
          One line, or None if the model was trained on this text, split in this way.
        """
        here = self.origin(corpus, parts) | {"validation": len(parts.validation)}
        known = [name for name in ("text", "sha256") if name in origin]
        same = bool(known) and all(origin[name] == here[name] for name in known)
        share = origin.get("held_out")
        # A checkpoint knows how much was held out, a model file which share.
        how_much = "validation" if "validation" in origin else "held_out"
        if same and all(
            origin.get(name, default) == here.get(name)
            for name, default in {"split": here["split"], how_much: None}.items()
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


def _encoded(corpus, vocabulary, policy):
    tokens = policy(vocabulary, corpus.text)
    return EncodedCorpus(tokens, vocabulary, corpus.description, corpus.sha256)
