"""Train a character-level language model, and write text with it.

    python examples/char_lm.py train
    python examples/char_lm.py train --resume
    python examples/char_lm.py sample --prompt "def " --temperature 0.7
    python examples/char_lm.py evaluate

Without `--text FILE` the text is the source code of Python's own standard library.
"""

import dataclasses
import difflib
import os
import signal
import sys
from pathlib import Path

import jax

from jaxrnn import model_file, text
from jaxrnn.checkpoint import Checkpoints, Retention, open_checkpoints
from jaxrnn.errors import CheckpointError, InputError, MissingExtraError, NonFiniteError
from jaxrnn.training import average_of, bits, stop_signals

try:
    import tyro
except ImportError:
    sys.exit(str(MissingExtraError("tyro", extra="examples")))

DEFAULT_MODEL = Path("char_lm.safetensors")
MAX_SEED = 2**32 - 1  # JAX keeps the lowest 32 bits: larger seeds would only repeat these


@dataclasses.dataclass(frozen=True)
class Source:
    """The text, and the part at its end that is held out of training."""

    text: Path | None = None
    """A text file; the source code of Python's standard library if not given."""
    limit: int = 3_000_000
    """How many characters of the standard library to use."""
    held_out: float = 0.1
    """Share of the text, at its end, for validation."""


@dataclasses.dataclass(frozen=True)
class Saving:
    """Checkpoints: where training goes on after whatever ended it."""

    resume: bool = False
    """Go on from the newest checkpoint, if there is one: exactly as if nothing had happened."""
    save_every: int = 250
    """Updates between two checkpoints, which are written at reports."""
    keep_last: int = 2
    """How many of the newest checkpoints are kept."""
    keep_best: int = 1
    """How many of those with the lowest validation loss are kept."""


class Interrupted(Exception):
    """A signal asked training to stop."""

    def __init__(self, number: int):
        """Keep the number."""
        super().__init__("interrupted" if number == signal.SIGINT else "terminated")
        self.status = 128 + number


def train(
    source: Source,
    model: text.ModelConfig,
    training: text.TrainConfig,
    saving: Saving,
    bytes: bool = False,
    out: Path = DEFAULT_MODEL,
    length: int = 500,
    temperature: float = 0.8,
) -> None:
    """Train a model on a text, save it, and let it write.

    Args:
        source: The text, and the part at its end that is held out of training.
        model: The network: embedding or one-hot, recurrent layers, linear.
        training: Truncated backpropagation through time.
        saving: Checkpoints: where training goes on after whatever ended it.
        bytes: Read bytes instead of characters, so that any file will do.
        out: Where the model goes; metrics, checkpoints and a picture go beside it.
        length: Characters to write at the end.
        temperature: Below 1 writes more cautiously, above 1 more adventurously.
    """
    check_request(length, temperature, training.seed)
    model_file.check_writable(out)
    metrics = out.with_name(f"{out.stem}.metrics.jsonl")
    picture = out.with_name(f"{out.stem}.losses.png")
    folder = out.with_name(f"{out.stem}.checkpoints")
    corpus = read(source, as_bytes=bytes)
    check_kept(source, out, metrics, picture)
    print(f"text: {corpus.description}")
    vocabulary = text.ByteVocabulary() if bytes else text.CharVocabulary.from_text(corpus.text)
    parts = text.split(vocabulary.encode(corpus.text), source.held_out)
    network = text.build_network(model, vocabulary.size)
    print(f"network: {network}")
    print(
        f"training on {len(parts.train):,} {vocabulary.unit}s, "
        f"validation on the {len(parts.validation):,} of the {parts.name}"
    )

    record = text.training_record(network, vocabulary, training, corpus, parts)
    retention = Retention(saving.keep_last, saving.keep_best)
    with stop_signals() as stop, open_checkpoints(folder, retention) as checkpoints:
        beginning = text.Beginning()
        if find_earlier(checkpoints, saving.resume):
            beginning = text.resume(checkpoints, metrics, record, network, training)
        tell(beginning)
        reports = text.fit(network, training, *parts[:2], start=beginning.point, stop=stop)
        saved = text.kept(
            *(reports, checkpoints, metrics, record, training, saving.save_every),
            metrics_bytes=beginning.metrics_bytes,
        )
        history, newest, stopped = follow(saved, training.steps, beginning)
    if newest is None:
        kept = f"; '{out}' is as it was before" if out.exists() else ""
        what = "no model" if checkpoints.steps() else "nothing"
        print(f"{what} saved: training stopped before its first report{kept}", file=sys.stderr)
    else:
        step, params = newest
        trained = text.LanguageModel(network, params, vocabulary)
        origin = {"text": corpus.description, "split": parts.name, "held_out": source.held_out}
        try:
            text.save(out, trained, **origin, step=step)
            print(f"saved the model as it was after step {step}: {out}; metrics: {metrics}")
        except InputError as error:
            if stopped is None:
                raise
            complain(error, status=1)  # and say below what came first
    if isinstance(stopped, text.Stopped):
        if checkpoints.steps():
            print(f"{stopped}: go on from there with --resume")
        raise Interrupted(stop())
    if stopped is not None:
        raise stopped
    draw(history, picture)
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
    check_request(length, temperature, seed)
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
    print_origin(model_file.load_model(model).metadata, corpus, source.held_out)
    print_loss(trained, text.split(trained.vocabulary.encode(corpus.text), source.held_out))


def check_request(length: int, temperature: float, seed: int):
    """Refuse now what would otherwise be refused after the training."""
    if length < 0:
        raise InputError(f"length is {length}; give 0 or more.")
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature is {temperature}; give a number from 0 upwards.")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed}; give a whole number from 0 to {MAX_SEED}.")


def check_kept(source: Source, *outputs: Path):
    """Refuse to write over the text, whatever name or link leads to it."""
    for output in outputs:
        if source.text is not None and output.exists() and output.samefile(source.text):
            raise InputError(
                f"'{output}' is the text itself and would be overwritten: give another --out."
            )


def find_earlier(checkpoints: Checkpoints, resume: bool) -> bool:
    """Whether there is something to go on from; what a finished training left makes room."""
    if not resume and text.is_finished(checkpoints):
        checkpoints.clear()
    if not resume and checkpoints.steps():
        raise CheckpointError(
            f"'{checkpoints.folder}' holds a training that was stopped after step "
            f"{checkpoints.steps()[-1]}: go on with --resume, or remove the folder to begin anew."
        )
    return bool(checkpoints.steps())


def tell(beginning: text.Beginning):
    """Say where training goes on, if it does not begin."""
    for note in beginning.notes:
        print(f"note: {note}", file=sys.stderr)
    if beginning.point is not None:
        print(f"going on after step {int(beginning.point.state.step)}")


def follow(reports, steps, beginning: text.Beginning):
    """Show the reports.

    Return all of them, the newest parameters with their step, and what ended the training early.
    """
    history, newest = list(beginning.history), None
    if beginning.point is not None:
        state = beginning.point.state
        newest = int(state.step), average_of(state)
    try:
        with text.progress(steps) as show:
            for report in reports:
                newest = report.step, report.params
                history.append(report._replace(params=None, point=None))
                show(report)
    except (text.Stopped, NonFiniteError, OSError) as reason:
        return history, newest, reason
    return history, newest, None


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


def print_origin(metadata, corpus: text.Corpus, held_out: float):
    """Print what the model was trained on, unless it is this text with the same part held out."""
    learned = metadata.get("text", "a text that its file does not name")
    share = metadata.get("held_out", "an unknown share")
    same = learned == corpus.description
    if same and share == held_out:
        return
    line = f"note: the model was trained on {learned}, with {share} of it held out at its end"
    if same and isinstance(share, float) and held_out < share:
        print(f"{line}; what is measured here is a part of that")
    else:
        print(f"{line}; what is measured here may include what it learned from")


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
    # Closed streams (`>&-`) are None. Without an output the work is still done; without an error
    # stream, `print` would put the complaints among the output.
    sys.stdout = sys.stdout or open_nowhere()
    sys.stderr = sys.stderr or open_nowhere()
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
    except Interrupted as interrupted:
        return complain(interrupted, interrupted.status)
    return 0


def open_nowhere():
    """A stream that forgets what is written to it."""
    # Open until the process ends, like the stream that it stands for.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    return open(nowhere, "w", encoding="utf-8", closefd=False)


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
