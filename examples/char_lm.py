"""Train a character-level language model, and write text with it.

    python examples/char_lm.py train
    python examples/char_lm.py sample --prompt "def " --temperature 0.7
    python examples/char_lm.py evaluate

Without `--text FILE` the text is the source code of Python's own standard library.
"""

import dataclasses
import difflib
import os
import sys
from pathlib import Path

import jax

from jaxrnn import model_file, text
from jaxrnn.errors import InputError, MissingExtraError, NonFiniteError
from jaxrnn.training import bits

try:
    import tyro
except ImportError:
    sys.exit(str(MissingExtraError("tyro", extra="examples")))

DEFAULT_MODEL = Path("char_lm.safetensors")


@dataclasses.dataclass(frozen=True)
class Source:
    """The text, and the part at its end that is held out of training."""

    text: Path | None = None
    """A text file; the source code of Python's standard library if not given."""
    limit: int = 3_000_000
    """How many characters of the standard library to use."""
    held_out: float = 0.1
    """Share of the text, at its end, for validation."""


def train(
    source: Source,
    model: text.ModelConfig,
    training: text.TrainConfig,
    bytes: bool = False,
    out: Path = DEFAULT_MODEL,
    length: int = 500,
    temperature: float = 0.8,
) -> None:
    """Train a model on a text, save it, and let it write.

    Args:
        source: The text, and the part at its end that is held out of training.
        model: The network: embedding or one-hot, recurrent layers, linear.
        training: Truncated backpropagation through time with Adam.
        bytes: Read bytes instead of characters, so that any file will do.
        out: Where the model goes; metrics and a picture go beside it.
        length: Characters to write at the end.
        temperature: Below 1 writes more cautiously, above 1 more adventurously.
    """
    model_file.check_writable(out)
    corpus = read(source, as_bytes=bytes)
    print(f"text: {corpus.description}")
    vocabulary = text.ByteVocabulary() if bytes else text.CharVocabulary.from_text(corpus.text)
    parts = text.split(vocabulary.encode(corpus.text), source.held_out)
    network = text.build_network(model, vocabulary.size)
    print(f"network: {network}")
    print(
        f"training on {len(parts.train):,} {vocabulary.unit}s, "
        f"validation on the {len(parts.validation):,} of the {parts.name}"
    )

    metrics = out.with_name(f"{out.stem}.metrics.jsonl")
    reports = text.fit(network, training, parts.train, parts.validation)
    history, stopped = follow(reports, training.steps, metrics)
    if not history:
        print("nothing saved: there was no report yet", file=sys.stderr)
        raise stopped
    trained = text.LanguageModel(network, history[-1].params, vocabulary)
    step = history[-1].step
    text.save(out, trained, text=corpus.description, split=parts.name, step=step)
    print(f"saved the model as it was after step {step}: {out}; metrics: {metrics}")
    if stopped is not None:
        raise stopped
    draw(history, out.with_name(f"{out.stem}.losses.png"))
    print_loss(trained, parts)
    print_text(trained, "", length, temperature, streams=1, seed=training.seed)


def sample(
    model: Path = DEFAULT_MODEL,
    prompt: str = "",
    length: int = 1000,
    temperature: float = 0.8,
    streams: int = 1,
    seed: int = 0,
) -> None:
    """Write text with a trained model.

    Args:
        model: The model file.
        prompt: What to continue; a new line if empty.
        length: Characters to write.
        temperature: 0 writes the most likely character each time; 1 writes as the model learned.
        streams: How many texts to write side by side.
        seed: The same seed writes the same text.
    """
    if streams < 1:
        raise InputError(f"streams is {streams}; give a positive number.")
    print_text(text.load(model), prompt, length, temperature, streams, seed)


def evaluate(source: Source, model: Path = DEFAULT_MODEL) -> None:
    """Measure the loss of a trained model on the held-out part of a text.

    Args:
        source: The text, and the part at its end that is read.
        model: The model file.
    """
    trained = text.load(model)
    corpus = read(source, as_bytes=isinstance(trained.vocabulary, text.ByteVocabulary))
    print(f"text: {corpus.description}")
    print_loss(trained, text.split(trained.vocabulary.encode(corpus.text), source.held_out))


def follow(reports, steps, metrics) -> tuple[list[text.Report], BaseException | None]:
    """Show and record the reports; return them with what stopped them early, if anything did."""
    history = []
    try:
        with text.metrics_file(metrics) as write, text.progress(steps) as show:
            for report in reports:
                if history:  # only the newest parameters are kept
                    history[-1] = history[-1]._replace(params=None)
                history.append(report)
                write(report)
                show(report)
    except (KeyboardInterrupt, NonFiniteError, OSError) as reason:
        return history, reason
    return history, None


def draw(history, picture):
    """Draw the losses, if matplotlib is there."""
    try:
        text.plot_losses(picture, history)
        print(f"picture of the losses: {picture}")
    except MissingExtraError as missing:
        print(f"no picture of the losses: {missing}")


def read(source: Source, as_bytes: bool) -> text.Corpus:
    """The text that the command line names."""
    if source.text is None:
        return text.standard_library_source(source.limit)
    return text.read_bytes(source.text) if as_bytes else text.read_text(source.text)


def print_loss(model: text.LanguageModel, parts: text.Split):
    """Print the loss on the whole held-out part."""
    nats = text.evaluate(model.network, model.params, parts.validation)
    unit = model.vocabulary.unit
    print(
        f"validation loss on the {parts.name}: {nats:.4f} nats = {bits(nats):.4f} bits "
        f"per {unit} ({len(parts.validation):,} {unit}s, the carry handed on throughout)"
    )


def print_text(model: text.LanguageModel, prompt, length, temperature, streams, seed):
    """Print the first stream as it is written, the others after it."""
    prompt = prompt or model.vocabulary.beginning
    pieces = text.generate(*model, [prompt] * streams, length, jax.random.key(seed), temperature)
    print(prompt, end="", flush=True)
    others = []
    for first, *rest in pieces:
        print(first, end="", flush=True)
        others.append(rest)
    print()
    for stream, written in enumerate(zip(*others, strict=True), start=2):
        print(f"\n--- stream {stream} ---\n{prompt}{''.join(written)}")


def main() -> int:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    # A terminal that cannot show a character shows a question mark instead of an error.
    sys.stdout.reconfigure(errors="replace")
    commands = {"train": train, "sample": sample, "evaluate": evaluate}
    if sys.argv[1:] and not sys.argv[1].startswith("-") and sys.argv[1] not in commands:
        return complain(unknown_command(sys.argv[1], list(commands)), status=2)
    settings = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    try:
        tyro.extras.subcommand_cli_from_dict(commands, description=__doc__, config=settings)
    except InputError as error:
        return complain(error, status=2)
    except BrokenPipeError:
        # Whoever read the output has enough. What is still buffered must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NonFiniteError, OSError) as error:
        return complain(error, status=1)
    except KeyboardInterrupt:
        return complain("interrupted", status=130)
    return 0


def unknown_command(given: str, commands: list[str]) -> str:
    """One sentence about a command that there is not, with the one that was probably meant."""
    close = difflib.get_close_matches(given, commands, n=1)
    if close:
        return f"there is no command '{given}'; did you mean '{close[0]}'?"
    return f"there is no command '{given}'; give one of {', '.join(commands)}."


def complain(error, status: int) -> int:
    """Print one sentence to standard error and hand the exit status on."""
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
