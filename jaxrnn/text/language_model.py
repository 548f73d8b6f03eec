"""A language model: its network and its file."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jaxrnn
from jaxrnn import model_file
from jaxrnn.checkpoint import is_checkpoint
from jaxrnn.errors import InputError, ModelFileError
from jaxrnn.text.vocabulary import Vocabulary, vocabulary_from_description


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
    dropout: float = 0.0
    """Share of what passes between layers that is dropped, anew at every character."""
    locked_dropout: float = 0.0
    """The same with one mask for a whole window, as in AWD-LSTM."""
    weight_drop: float = 0.0
    """Share of the recurrent weights that is dropped, one mask for a whole window."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of products; parameters, memory and sums are float32 always."""


class LanguageModel(NamedTuple):
    """A network, its parameters and what its tokens mean."""

    network: Any
    params: Any
    vocabulary: Vocabulary


def build_network(config: ModelConfig, vocabulary_size: int):
    """The network that a configuration describes, from tokens to logits.

    Args:
      config: what to stack.
      vocabulary_size: number of tokens.

    Returns:
      A `jaxrnn.Stack`.

    Raises:
      InputError: if a size is not positive or a rate no share.

    Example:
      >>> build_network(ModelConfig(cell="gru", layers=1, embedding_size=0), 10).output_size
      10
    """
    check_positive(layers=config.layers, hidden_size=config.hidden_size)
    if config.embedding_size < 0:
        raise InputError(f"embedding_size is {config.embedding_size}; give 0 or more.")
    for name in ("dropout", "locked_dropout", "weight_drop"):
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"{name} is {getattr(config, name)}; give a share from 0 to below 1.")
    cell = {"elman": jaxrnn.Elman, "lstm": jaxrnn.LSTM, "gru": jaxrnn.GRU}[config.cell]
    if config.embedding_size:
        first = jaxrnn.Embedding(vocabulary_size, config.embedding_size)
    else:
        first = jaxrnn.OneHot(vocabulary_size)
    layers = [first, *_noise(config, first.output_size if config.embedding_size else 0)]
    for below in [first.output_size] + [config.hidden_size] * (config.layers - 1):
        recurrent = cell(below, config.hidden_size)
        if config.weight_drop:
            recurrent = jaxrnn.WeightDrop(recurrent, config.weight_drop)
        layers += [recurrent, *_noise(config, config.hidden_size)]
    network = jaxrnn.stack(*layers, jaxrnn.Linear(config.hidden_size, vocabulary_size))
    return network if config.precision == "float32" else jaxrnn.MixedPrecision(network)


def _noise(config, width):
    """What is dropped of vectors of some width; one-hot vectors, of width 0 here, are kept."""
    kinds = {jaxrnn.Dropout: config.dropout, jaxrnn.VariationalDropout: config.locked_dropout}
    return [kind(width, rate) for kind, rate in kinds.items() if rate and width]


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
    """Read a language model from a file that `save` wrote, or from a checkpoint.

    Args:
      path: the file, or the folder of one checkpoint.

    Returns:
      The model; sampling from it gives the same text as before it was saved.

    Raises:
      ModelFileError: if the file is missing, damaged, or holds no language model.
      CheckpointError: if the folder holds no checkpoint of a language model.
    """
    if is_checkpoint(path):
        from jaxrnn.text.resuming import load_model  # which knows what a language model is

        return load_model(path)
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


def check_positive(**sizes) -> None:
    """Raise InputError if a number is not positive and finite."""
    for name, size in sizes.items():
        if not 0 < size < float("inf"):
            raise InputError(f"{name} is {size}; give a positive number.")
