"""A character-level language model: its network, its training, its file."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax

import jaxrnn
from jaxrnn import model_file
from jaxrnn.errors import InputError, ModelFileError, NonFiniteError
from jaxrnn.text.evaluation import evaluate
from jaxrnn.text.splits import training_windows
from jaxrnn.text.vocabulary import Vocabulary, vocabulary_from_description
from jaxrnn.training import (
    adam,
    cross_entropy,
    init_state,
    make_train_step,
    restart,
)

PROBE = 4096  # held-out tokens read at each report; the whole held-out part would take too long


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network: embedding or one-hot, recurrent layers, linear."""

    cell: Literal["elman", "lstm", "gru"] = "gru"
    """Kind of recurrent layer."""
    layers: int = 2
    """Number of recurrent layers."""
    hidden_size: int = 256
    """Width of each recurrent layer."""
    embedding_size: int = 64
    """Width of a character's learned vector; 0 reads characters as one-hot vectors."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Truncated backpropagation through time with Adam."""

    steps: int = 2000
    """Number of updates."""
    batch: int = 32
    """Streams of text read side by side."""
    window: int = 64
    """Characters through which the gradient flows back."""
    learning_rate: float = 2e-3
    """Peak learning rate; it falls to a tenth along a cosine."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    report_every: int = 50
    """Updates between two reports."""
    seed: int = 0
    """Seed of the initial parameters."""


class LanguageModel(NamedTuple):
    """A network, its parameters and what its tokens mean."""

    network: Any
    params: Any
    vocabulary: Vocabulary


class Report(NamedTuple):
    """How training stands after `step` updates."""

    step: int
    loss: float  # nats per token, mean over the updates since the last report
    gradient_norm: float  # mean over the same updates, before clipping
    validation_loss: float  # nats per token on the beginning of the held-out text
    tokens_per_second: float
    params: Any  # known to be good: the validation loss was computed with them and is finite


def build_network(config: ModelConfig, vocabulary_size: int):
    """The network that a configuration describes, from tokens to logits.

    Args:
      config: what to stack.
      vocabulary_size: number of tokens.

    Returns:
      A `jaxrnn.Stack`.

    Raises:
      InputError: if a size is not positive.

    Example:
      >>> build_network(ModelConfig(cell="gru", layers=1, embedding_size=0), 10).output_size
      10
    """
    _check_positive(layers=config.layers, hidden_size=config.hidden_size)
    if config.embedding_size < 0:
        raise InputError(f"embedding_size is {config.embedding_size}; give 0 or more.")
    cell = {"elman": jaxrnn.Elman, "lstm": jaxrnn.LSTM, "gru": jaxrnn.GRU}[config.cell]
    if config.embedding_size:
        first = jaxrnn.Embedding(vocabulary_size, config.embedding_size)
    else:
        first = jaxrnn.OneHot(vocabulary_size)
    widths = [first.output_size] + [config.hidden_size] * config.layers
    recurrent = [cell(*pair) for pair in zip(widths[:-1], widths[1:], strict=True)]
    return jaxrnn.stack(first, *recurrent, jaxrnn.Linear(config.hidden_size, vocabulary_size))


def next_token_loss(network, fold=jaxrnn.folds.automatic):
    """The loss function of a language model for `make_update`.

    Args:
      network: a layer from tokens to logits.
      fold: how time is folded.

    Returns:
      `loss_fn(params, carry, (inputs, targets)) -> (nats, carry)`, both [time, *batch].
    """

    def loss_fn(params, carry, batch):
        inputs, targets = batch
        carry, logits = jaxrnn.unroll(network, params, inputs, carry, fold=fold)
        return cross_entropy(logits, targets), carry

    return loss_fn


def fit(
    network, config: TrainConfig, train, validation, fold=jaxrnn.folds.automatic
) -> Iterator[Report]:
    """Train a network to predict the next token, and report as it goes.

    The carry is handed from window to window and begins afresh with each pass over the text. The
    last report holds the trained parameters; stopping early is leaving the loop.

    Args:
      network: a layer from tokens to logits.
      config: how to train.
      train: [time]; the tokens to learn from; [time, streams] if they are in streams already.
      validation: [time, *streams]; held out; the first 4,096 instants are read at each report.
      fold: how time is folded; `jaxrnn.folds.scan` for a cell that does not know its own backward
        step.

    Returns:
      An iterator of reports, one per `config.report_every` updates and one at the end.

    Raises:
      InputError: if a number in the configuration is not positive.
      CorpusError: if the text is too short for one window.
      NonFiniteError: if a loss or a gradient is not finite; the report before it is still good.
    """
    numbers = dataclasses.asdict(config)
    del numbers["seed"]
    _check_positive(**numbers)
    windows = training_windows(train, config.batch, config.window)
    optimizer = adam(
        optax.cosine_decay_schedule(config.learning_rate, config.steps, alpha=0.1),
        clip=optax.clip_by_global_norm(config.clip),
    )
    train_step = make_train_step(next_token_loss(network, fold), optimizer)
    params = network.init(jax.random.key(config.seed))
    state = init_state(params, optimizer, network.start(params, (config.batch,)))
    return _reports(network, config, windows, validation[: PROBE + 1], train_step, state)


def _reports(network, config, windows, probe, train_step, state):
    done = 0
    while done < config.steps:
        begun = time.perf_counter()
        metrics = []
        for step in range(done, min(done + config.report_every, config.steps)):
            place = step % len(windows.inputs)
            if step and place == 0:
                state = restart(state, network.start(state.params, (config.batch,)))
            state, measured = train_step(state, (windows.inputs[place], windows.targets[place]))
            metrics.append(measured)
        # Fetched once per report, so that the device need not wait for Python at every step.
        losses, norms = np.array(jax.device_get(metrics), np.float64).T
        seconds = time.perf_counter() - begun
        _check_finite(losses + norms, first_step=done + 1)
        done += len(metrics)
        # A copy, because the next step donates the state this is taken from.
        params = jax.tree.map(np.array, state.params)
        # Losses are measured before an update; this one shows that the last update did no harm.
        validation_loss = evaluate(network, params, probe)
        _check_finite([validation_loss], first_step=done)
        yield Report(
            step=done,
            loss=float(losses.mean()),
            gradient_norm=float(norms.mean()),
            validation_loss=validation_loss,
            tokens_per_second=len(metrics) * config.batch * config.window / seconds,
            params=params,
        )


def save(path: str | Path, model: LanguageModel, **metadata) -> None:
    """Write a language model to a file; `load` reads it.

    Args:
      path: where to; an existing file is replaced in one go.
      model: what to write.
      **metadata: JSON-able values to keep beside it.

    Raises:
      ModelFileError: if the file cannot be written.
    """
    model_file.save_model(
        path, model.network, model.params, vocabulary=model.vocabulary.describe(), **metadata
    )


def load(path: str | Path) -> LanguageModel:
    """Read a language model from a file that `save` wrote.

    Args:
      path: the file.

    Returns:
      The model; sampling from it gives the same text as before it was saved.

    Raises:
      ModelFileError: if the file is missing, damaged, or holds no language model.
    """
    network, params, metadata = model_file.load_model(path)
    if "vocabulary" not in metadata:
        raise ModelFileError(f"'{path}' holds a model without a vocabulary: no language model.")
    vocabulary = vocabulary_from_description(metadata["vocabulary"])
    if not network.takes_tokens or network.output_size != vocabulary.size:
        raise ModelFileError(
            f"'{path}' holds {network!r}, which does not predict the {vocabulary.size} tokens of "
            "its vocabulary."
        )
    return LanguageModel(network=network, params=params, vocabulary=vocabulary)


def _check_positive(**sizes):
    for name, size in sizes.items():
        if not 0 < size < float("inf"):
            raise InputError(f"{name} is {size}; give a positive number.")


def _check_finite(numbers, first_step):
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        step = first_step + int(bad[0])
        raise NonFiniteError(
            f"training left the finite numbers at step {step}: try a lower learning rate.", step
        )
