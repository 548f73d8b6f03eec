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

import sys
from pathlib import Path
from typing import Literal

import command_line
import jax
import numpy as np
from char_lm_training import Files, Saving, carry_out, is_first
from command_line import Interrupted, complain, open_nowhere
from preparing import prepare, verify

from jaxrnn import model_file, text
from jaxrnn.errors import InputError, MissingExtraError
from jaxrnn.training import bits

DEFAULT_MODEL = Path("char_lm.safetensors")
MAX_SEED = 2**32 - 1  # JAX keeps the lowest 32 bits: larger seeds would only repeat these


def train(
    source: text.SourceConfig,
    model: text.ModelConfig,
    training: text.TrainConfig,
    saving: Saving,
    where: text.DeviceConfig,
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
        where: On how many devices, and in how many processes.
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
    text.check_config(training)
    where.check(training)
    if not where.process_id:  # the first writes; of a cluster's it is not known yet which that is
        model_file.check_writable(out)
    files = Files.beside(out)
    corpus = source.encoded(bytes, words)
    source.check_kept(out, files.metrics, files.picture)
    vocabulary, parts = corpus.vocabulary, source.parts(corpus.tokens)
    devices = where.start(training)
    if not is_first():
        sys.stdout = open_nowhere()  # the first process says it
    network = text.build_network(model, vocabulary.size)
    print(f"text: {corpus.description}")
    print(f"network: {network}")
    print(
        f"training on {parts.train.size:,} {vocabulary.unit}s, "
        f"validation on the {parts.validation.size:,} of the {parts.name}"
    )
    if devices.count > 1:
        print(f"{devices.count} devices in {jax.process_count()} process(es)")
    record = text.training_record(network, vocabulary, training, corpus, parts)
    ended = carry_out(network, training, parts, record, saving, files, devices, tensorboard)
    if is_first():
        origin = source.origin(corpus, parts)
        trained = keep_model(ended, out, files, network, vocabulary, origin)
    if ended.reason is not None:
        raise ended.reason
    if is_first():
        draw(ended.history, files.picture)
        print_loss(trained, parts)
        beginning, key = vocabulary.beginning, jax.random.key(training.seed)
        text.show(beginning, text.write(trained, beginning, writing, key))


def sample(
    writing: text.WriteConfig,
    unknown: text.UnknownConfig,
    model: Path = DEFAULT_MODEL,
    prompt: str = "",
    prompt_file: Path | None = None,
    encoding: str = "utf-8",
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
        encoding: Encoding of the characters of that file, by any name that Python knows.
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
        prompt = read(prompt_file, encoding, trained)
    prompt = prompt or trained.vocabulary.beginning
    shown = prompt.decode(errors="replace") if isinstance(prompt, bytes) else prompt
    text.show(shown, text.write(trained, prompt, writing, key, streams, policy))


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
    encoding: str = "utf-8",
) -> None:
    """Print how probable each character of a text is, given those before it.

    Args:
        unknown: What becomes of what the vocabulary does not know.
        model: The model file, a checkpoint, or a folder of them, of which the newest is taken.
        sentence: The text.
        text_file: A file with the text.
        encoding: Encoding of the characters of that file, by any name that Python knows.
    """
    if (sentence is None) == (text_file is None):
        raise InputError("there is no text to score, or two: give --sentence or --text-file.")
    model, trained = load(model)
    if text_file is not None:
        sentence = read(text_file, encoding, trained)
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


def read(path: Path, encoding: str, model: text.LanguageModel) -> str | bytes:
    """A text file as the model knows texts: characters, or the bytes as they are."""
    as_bytes = isinstance(model.vocabulary, text.ByteVocabulary)
    return text.SourceConfig(text=path, encoding=encoding).read(as_bytes).text


def check_seed(seed: int):
    """Refuse now what would otherwise be refused after the training."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed}; give a whole number from 0 to {MAX_SEED}.")


def keep_model(ended, out, files, network, vocabulary, origin):
    """Save the model, as far as there is one, and say so; return it."""
    if ended.newest is None:
        kept = f"; '{out}' is as it was before" if out.exists() else ""
        what = "no model" if ended.saved else "nothing"
        print(f"{what} saved: training stopped before its first report{kept}", file=sys.stderr)
        trained = None
    else:
        step, params = ended.newest
        trained = text.LanguageModel(network, params, vocabulary)
        try:
            text.save(out, trained, **origin, step=step)
            print(f"saved the model as it was after step {step}: {out}; metrics: {files.metrics}")
        except InputError as error:
            if ended.reason is None:
                raise
            complain(error, status=1)  # and say below what came first
    if isinstance(ended.reason, Interrupted) and ended.saved:
        print(f"{ended.reason.where}: go on from there with --resume")
    return trained


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
    commands = [train, sample, evaluate, score, look, prepare, verify]
    command_line.run_one_of(commands, __doc__)
