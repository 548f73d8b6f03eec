"""Train a character-level language model, and write text with it.

    python examples/char_lm.py train
    python examples/char_lm.py train --resume
    python examples/char_lm.py sample --prompt "def " --temperature 0.7
    python examples/char_lm.py evaluate
    python examples/char_lm.py score --sentence "def main():"
    python examples/char_lm.py look
    python examples/char_lm.py prepare --text big.txt
    python examples/char_lm.py train --tokens big.tokens

Without `--text FILE` the text is the source code of Python's own standard library. A text that is
too large for memory is encoded once by `prepare`, and read from the file of its tokens.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from command_line import Interrupted, complain, run
from preparing import prepare, verify

from jaxrnn import model_file, text
from jaxrnn.checkpoint import Checkpoints, Retention, open_checkpoints
from jaxrnn.errors import CheckpointError, InputError, MissingExtraError, NonFiniteError
from jaxrnn.training import average_of, bits, stop_signals

DEFAULT_MODEL = Path("char_lm.safetensors")
MAX_SEED = 2**32 - 1  # JAX keeps the lowest 32 bits: larger seeds would only repeat these


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


def train(
    source: text.SourceConfig,
    model: text.ModelConfig,
    training: text.TrainConfig,
    saving: Saving,
    bytes: bool = False,
    words: int | None = None,
    out: Path = DEFAULT_MODEL,
    length: int = 500,
    temperature: float = 0.8,
    tensorboard: Path | None = None,
) -> None:
    """Train a model on a text, save it, and let it write.

    Args:
        source: The text, and the part at its end that is held out of training.
        model: The network: embedding or one-hot, recurrent layers, linear.
        training: Truncated backpropagation through time.
        saving: Checkpoints: where training goes on after whatever ended it.
        bytes: Read bytes instead of characters, so that any file will do.
        words: Read words instead of characters, this many of the most frequent.
        out: Where the model goes; metrics, checkpoints and a picture go beside it.
        length: Characters to write at the end.
        temperature: Below 1 writes more cautiously, above 1 more adventurously.
        tensorboard: A folder for TensorBoard, where the figures go as well.
    """
    writing = text.WriteConfig(length=length, temperature=temperature)
    check_seed(training.seed)
    writing.check(text.ByteVocabulary())
    model_file.check_writable(out)
    metrics = out.with_name(f"{out.stem}.metrics.jsonl")
    picture = out.with_name(f"{out.stem}.losses.png")
    folder = out.with_name(f"{out.stem}.checkpoints")
    corpus = source.encoded(bytes, words)
    source.check_kept(out, metrics, picture)
    print(f"text: {corpus.description}")
    vocabulary, parts = corpus.vocabulary, source.parts(corpus.tokens)
    network = text.build_network(model, vocabulary.size)
    print(f"network: {network}")
    print(
        f"training on {parts.train.size:,} {vocabulary.unit}s, "
        f"validation on the {parts.validation.size:,} of the {parts.name}"
    )

    record = text.training_record(network, vocabulary, training, corpus, parts)
    retention = Retention(saving.keep_last, saving.keep_best)
    with stop_signals() as stop, open_checkpoints(folder, retention) as checkpoints:
        beginning = text.Beginning()
        if find_earlier(checkpoints, saving.resume):
            beginning = text.resume(checkpoints, metrics, record, network, training)
        tell(beginning)
        reports = text.fit(
            *(network, training, parts.train, parts.validation), start=beginning.point, stop=stop
        )
        saved = text.kept(
            *(reports, checkpoints, metrics, record, training, saving.save_every),
            metrics_bytes=beginning.metrics_bytes,
        )
        with figures_for(tensorboard, training, beginning) as write:
            history, newest, stopped = follow(saved, training.steps, beginning, write)
    if newest is None:
        kept = f"; '{out}' is as it was before" if out.exists() else ""
        what = "no model" if checkpoints.steps() else "nothing"
        print(f"{what} saved: training stopped before its first report{kept}", file=sys.stderr)
    else:
        step, params = newest
        trained = text.LanguageModel(network, params, vocabulary)
        try:
            text.save(out, trained, **source.origin(corpus, parts), step=step)
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
    beginning = vocabulary.beginning
    text.show(beginning, text.write(trained, beginning, writing, jax.random.key(training.seed)))


def sample(
    writing: text.WriteConfig,
    unknown: text.UnknownConfig,
    model: Path = DEFAULT_MODEL,
    prompt: str = "",
    prompt_file: Path | None = None,
    streams: int = 1,
    seed: int = 0,
    interactive: bool = False,
) -> None:
    """Write text with a trained model.

    Args:
        writing: How to write.
        unknown: What becomes of what the vocabulary does not know.
        model: The model file, a checkpoint, or a folder of them, of which the newest is taken.
        prompt: What to continue; a new line if empty.
        prompt_file: A text file to continue instead.
        streams: How many texts to write side by side.
        seed: The same seed writes the same text.
        interactive: Continue one line of input after the other, until there are no more.
    """
    check_seed(seed)
    if (prompt != "") + (prompt_file is not None) + interactive > 1:
        raise InputError("give one of --prompt, --prompt-file and --interactive.")
    writing.check(text.ByteVocabulary())
    model, trained = load(model)
    policy = unknown.policy(trained.vocabulary)
    key = jax.random.key(seed)
    if interactive:
        return text.converse(trained, sys.stdin, writing, key, streams, policy)
    if prompt_file is not None:
        prompt = text.read_text(prompt_file).text
    prompt = prompt or trained.vocabulary.beginning
    text.show(prompt, text.write(trained, prompt, writing, key, streams, policy))


def evaluate(
    source: text.SourceConfig,
    unknown: text.UnknownConfig,
    model: Path = DEFAULT_MODEL,
    part: Literal["validation", "test"] = "validation",
    adapt: float | None = None,
    adapt_decay: float = 0.0,
    adapt_window: int = 20,
    adapt_rms: bool = False,
) -> None:
    """Measure the loss of a trained model on the held-out part of a text.

    Args:
        source: The text, and the part of it that is read.
        unknown: What becomes of what the vocabulary does not know.
        model: The model file, a checkpoint, or a folder of them, of which the newest is taken.
        part: Which part; only the split 80/10/10 has a test.
        adapt: Also go on learning from what was read, at this rate (dynamic evaluation).
        adapt_decay: How strongly the parameters are drawn back to those of the file, from 0 to 1.
        adapt_window: How much to read between two updates.
        adapt_rms: Learn in units of each parameter's usual gradient on the rest of the text.
    """
    if part == "test" and source.split != "80/10/10":
        raise InputError(f"the split {source.split} has no test part: give --split 80/10/10.")
    if adapt is not None:
        text.descent(adapt, adapt_decay)  # refuses what is out of range
        if adapt_window < 1:
            raise InputError(f"the window of adapting is {adapt_window}; give a positive number.")
    model, trained = load(model)
    policy = unknown.policy(trained.vocabulary)
    corpus = source.encoded_by(trained.vocabulary, policy)
    print(f"text: {corpus.description}")
    parts = source.parts(corpus.tokens)
    note = source.note(text.load_origin(model), corpus, parts)
    if note is not None:
        print(note)
    print_loss(trained, parts, part)
    if adapt is None:
        return
    network, params, _ = trained
    if adapt_rms:
        sizes = text.gradient_sizes(network, params, parts.train, window=adapt_window)
        rule = text.rms(adapt, adapt_decay, sizes)
    else:
        rule = text.descent(adapt, adapt_decay)
    held_out = getattr(parts, part)
    nats = text.evaluate_dynamically(network, params, held_out, rule, adapt_window)
    print(
        f"adapting every {adapt_window} {trained.vocabulary.unit}s: {nats:.4f} nats = "
        f"{bits(nats):.4f} bits (dynamic evaluation; not to be compared with a model at rest)"
    )


def score(
    unknown: text.UnknownConfig,
    model: Path = DEFAULT_MODEL,
    sentence: str | None = None,
    text_file: Path | None = None,
) -> None:
    """Print how probable each character of a text is, given those before it.

    Args:
        unknown: What becomes of what the vocabulary does not know.
        model: The model file, a checkpoint, or a folder of them, of which the newest is taken.
        sentence: The text.
        text_file: A file with the text.
    """
    if (sentence is None) == (text_file is None):
        raise InputError("there is no text to score, or two: give --sentence or --text-file.")
    model, trained = load(model)
    if text_file is not None:
        as_bytes = isinstance(trained.vocabulary, text.ByteVocabulary)
        sentence = text.SourceConfig(text=text_file).read(as_bytes).text
    tokens = unknown.policy(trained.vocabulary)(trained.vocabulary, sentence)
    _, log_probs = text.log_probabilities(trained.network, trained.params, tokens)
    for token, log_prob in zip(tokens[1:], log_probs, strict=True):
        print(f"{log_prob:.4f}\t{trained.vocabulary.decode([token])!r}")
    print(
        f"{log_probs.sum():.4f} nats in all, {log_probs.mean():.4f} per {trained.vocabulary.unit} "
        "after the first"
    )


def look(
    source: text.SourceConfig,
    unknown: text.UnknownConfig,
    model: Path = DEFAULT_MODEL,
    sentence: str | None = None,
    length: int = 1500,
    state: str | None = None,
    units: tuple[int, ...] = (),
    out: Path | None = None,
) -> None:
    """Draw what a trained model thinks of a text: its surprise, its hidden units, its training.

    Args:
        source: The text, of which the beginning of the validation part is read.
        unknown: What becomes of what the vocabulary does not know.
        model: The model file, a checkpoint, or a folder of them, of which the newest is taken.
        sentence: A text to read instead.
        length: How many characters to read at most.
        state: Whose units to draw, such as "layers.1.h"; those of the last layer if not given.
        units: Which of them; the three in which there is most to see if not given.
        out: Where the page goes, the pictures beside it; beside the model if not given.
    """
    if length < 2:
        raise InputError(f"length is {length}; give at least 2.")
    model, trained = load(model)
    beside = text.model_beside(model)
    out = beside.with_suffix(".html") if out is None else out
    surprise, drawn = (out.with_name(f"{out.stem}.{name}.png") for name in ("surprise", "units"))
    source.check_kept(out, surprise, drawn)
    if out.exists() and model.exists() and out.samefile(model):
        raise InputError(
            f"'{out}' is the model itself and would be overwritten: give another --out."
        )
    policy = unknown.policy(trained.vocabulary)
    if sentence is not None:
        tokens = policy(trained.vocabulary, sentence)
    else:
        corpus = source.encoded_by(trained.vocabulary, policy)
        tokens = np.asarray(source.parts(corpus.tokens).validation[:length])
        tokens = tokens if tokens.ndim == 1 else tokens[:, 0]
    reading = text.look(trained, tokens[:length])
    if state is None and reading.units:
        state = list(reading.units)[-1]
    if state is not None:
        text.check_units(reading, state, units)
    curve = text.loss_curve(beside.with_name(f"{beside.stem}.metrics.jsonl"))
    sections = text.surprise_section(reading), text.units_section(reading)
    text.write_page(out, model.name, *sections, text.losses_section(*curve))
    print(f"page: {out}")
    try:
        text.plot_surprise(surprise, reading)
        print(f"picture of the surprise: {surprise}")
        if state is not None:
            text.plot_units(drawn, reading, state, units)
            print(f"picture of the units: {drawn}")
    except MissingExtraError as missing:
        print(f"no pictures: {missing}")


def load(model: Path) -> tuple[Path, text.LanguageModel]:
    """The model that is meant, which is named where there is a choice, and what it holds."""
    found = text.find_model(model)
    if found != model:
        print(f"model: {found}", file=sys.stderr)  # not among the text that is written
    return found, text.load(found)


def check_seed(seed: int):
    """Refuse now what would otherwise be refused after the training."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed}; give a whole number from 0 to {MAX_SEED}.")


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
        print(f"going on after step {beginning.step}")


def figures_for(tensorboard: Path | None, training: text.TrainConfig, beginning: text.Beginning):
    """What takes the reports for TensorBoard, if it is asked for."""
    if tensorboard is None:
        return contextlib.nullcontext(lambda report: None)
    return text.tensorboard(tensorboard, training, after=beginning.step)


def follow(reports, steps, beginning: text.Beginning, write):
    """Show the reports, and have them written.

    Return all of them, the newest parameters with their step, and what ended the training early.
    """
    history, newest = list(beginning.history), None
    if beginning.point is not None:
        newest = beginning.step, average_of(beginning.point.state)
    try:
        with text.progress(steps) as show:
            for report in reports:
                newest = report.step, report.params
                history.append(report._replace(params=None, point=None))
                show(report)
                write(report)
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


def print_loss(model: text.LanguageModel, parts: text.Split, part: str = "validation"):
    """Print the loss on the whole of a held-out part."""
    held_out = getattr(parts, part)
    nats = text.evaluate(model.network, model.params, held_out)
    unit = model.vocabulary.unit
    print(
        f"{part} loss on the {parts.name}: {nats:.4f} nats = {bits(nats):.4f} bits "
        f"per {unit} ({held_out.size:,} {unit}s, the carry handed on throughout)"
    )
    if isinstance(model.vocabulary, text.WordVocabulary):
        print(f"of these {text.share_of(held_out, 0):.1%} are unknown words, all taken for one")


if __name__ == "__main__":
    sys.exit(run([train, sample, evaluate, score, look, prepare, verify], __doc__))
