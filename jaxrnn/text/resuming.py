"""Checkpoints of the training of a language model: what is in them, and whose they are."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.cell import named_leaves
from jaxrnn.checkpoint import Checkpoints, difference, load_checkpoint, read_record
from jaxrnn.description import describe, from_description
from jaxrnn.errors import CheckpointError, CorruptFileError, NonFiniteError
from jaxrnn.text.encoded import AnyCorpus
from jaxrnn.text.fitting import Point, Report, Stopped, begin
from jaxrnn.text.language_model import LanguageModel
from jaxrnn.text.metrics import metrics_file, metrics_position, read_metrics
from jaxrnn.text.recipe import TrainConfig
from jaxrnn.text.splits import Split
from jaxrnn.text.vocabulary import Vocabulary, vocabulary_from_description
from jaxrnn.training import GuardedMetrics, average_of, check_alike, told_by_first

_LIBRARIES = ("jaxrnn", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


class Beginning(NamedTuple):
    """Where a training begins, and what there is of it already."""

    point: Point | None = None  # None: at the very beginning
    history: Sequence[Report] = ()  # what the metrics file says
    metrics_bytes: int = 0  # how much of the metrics file is kept
    notes: Sequence[str] = ()  # what the user should know

    @property
    def step(self) -> int:
        """How many steps were made."""
        return 0 if self.point is None else int(self.point.state.step)


def training_record(
    network, vocabulary: Vocabulary, config: TrainConfig, corpus: AnyCorpus, parts: Split
) -> dict[str, Any]:
    """All that a training depends on, as JSON: what must be equal to go on exactly.

    Args:
      network: the layer that is trained.
      vocabulary: what its tokens mean.
      config: how it is trained.
      corpus: the text; of its description, which names the file, nothing depends.
      parts: which of it is for training, which for validation.

    Returns:
      Dictionaries, lists, strings, numbers and booleans.

    Raises:
      ModelFileError: if a part of the network cannot be described.
    """
    training = dataclasses.asdict(config)
    if config.decay == "constant":  # More steps of the same: nothing else depends on their number.
        del training["steps"]
    return {
        "corpus": {"sha256": corpus.sha256},
        "split": {
            "name": parts.name,
            "train": len(parts.train),
            "validation": len(parts.validation),
        },
        "vocabulary": vocabulary.describe(),
        "network": describe(network),
        "training": training,
        "random": {"implementation": str(jax.config.jax_default_prng_impl)},
    }


def kept(
    reports: Iterator[Report],
    checkpoints: Checkpoints,
    metrics: str | Path,
    record: dict[str, Any],
    config: TrainConfig,
    save_every: int,
    metrics_bytes: int = 0,
    devices: int = 1,
) -> Iterator[Report]:
    """Hand reports on when they are in the metrics file and, where due, begun to be saved.

    Args:
      reports: what `fit` yields.
      checkpoints: where points go.
      metrics: where figures go, one JSON object per line.
      record: what `training_record` gave.
      config: how it is trained.
      save_every: updates between two checkpoints, rounded to whole reports.
      metrics_bytes: how much of the metrics file is kept.
      devices: how many share a batch.

    Returns:
      An iterator of the same reports. At its end the last checkpoint is on the disk.

    Raises:
      InputError: if the metrics file cannot be opened.
      OSError: if it or a checkpoint cannot be written, by the next report at the latest.
      NonFiniteError: as `fit` does, when the last good point is on the disk.
      Stopped: as `fit` does, when the point at which it stopped is on the disk.
    """
    save = functools.partial(_save, checkpoints, record, metrics, devices)
    every = max(1, round(save_every / config.report_every)) * config.report_every
    point = None
    with metrics_file(metrics, keep=metrics_bytes) as write:
        try:
            for report in reports:
                write(report)
                checkpoints.check()
                finished = report.step == config.steps
                if finished or report.step % every == 0:
                    save(report.point, report.validation_loss, finished)
                point = report.point
                yield report
        except (Stopped, NonFiniteError) as reason:
            point = reason.point if isinstance(reason, Stopped) else point
            if point is not None and point.state.step:
                save(point)
                checkpoints.finish()
            raise
    checkpoints.finish()


def _save(checkpoints, record, metrics, devices, point, validation_loss=None, finished=False):
    content = {
        "training_of": record,
        "metrics": metrics_position(metrics),
        "recent": len(point.recent),
        "finished": finished,
        "versions": _versions() | {"devices": devices},
    }
    checkpoints.save(int(point.state.step), point, content, score=validation_loss)


def resume(
    checkpoints: Checkpoints,
    metrics: str | Path,
    record: dict,
    network,
    config: TrainConfig,
    devices: int = 1,
) -> Beginning:
    """The newest point that is not damaged, and the reports up to there.

    Args:
      checkpoints: where from. Damaged checkpoints that are newer are set aside.
      metrics: the metrics file.
      record: what `training_record` gave.
      network: the layer that is trained.
      config: how it is trained.
      devices: how many will share a batch; if it is another number than before, a note says so.

    Returns:
      Where to go on.

    Raises:
      CheckpointError: if it is a point of another training, naming what differs.
      CorruptFileError: if all checkpoints are damaged.
    """

    def like(content):
        found = difference(content.get("training_of"), record)
        if found:
            raise CheckpointError(
                f"'{checkpoints.folder}' holds another training: {found}. Give what was given "
                "there, or another --out for a new training."
            )
        return _specification(network, config, content)

    step, (point, content), damaged = checkpoints.load(like)
    checkpoints.set_aside(after=step)
    notes = [f"{error} Going on from step {step}." for error in damaged]
    changed = difference(content.get("versions"), _versions() | {"devices": devices})
    if changed:
        notes.append(f"{changed}: what follows may differ in the last bits.")
    position = content.get("metrics")
    history = read_metrics(metrics, position)
    if history is not None:
        return Beginning(point, history, position["bytes"], notes)
    notes.append(f"'{metrics}' is not as it was at step {step}: metrics go on at its end.")
    size = Path(metrics).stat().st_size if Path(metrics).is_file() else 0
    return Beginning(point, [], size, notes)


def shared(beginning: Beginning, network, config: TrainConfig, record: dict) -> Beginning:
    """Where process 0 begins, on every process that trains together with it.

    Args:
      beginning: of process 0; that of others is not looked at.
      network: the layer that is trained.
      config: how it is trained.
      record: what `training_record` gave.

    Returns:
      On process 0 what was given, on others its point.

    Raises:
      InputError: on all of them, if one was given another text, network or configuration.
    """
    given = record, dataclasses.asdict(config)
    check_alike(json.dumps(given, sort_keys=True).encode())
    point = beginning.point
    leaves = [] if point is None else jax.tree.leaves(point)
    said = told_by_first(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
    if jax.process_index() == 0 or not said:
        return beginning
    # Of all that is said only `recent` is as long as it happens to be.
    nothing_recent = _specification(network, config, {"recent": 0})
    more = len(said) - sum(map(_bytes, jax.tree.leaves(nothing_recent)))
    recent = more // (len(GuardedMetrics._fields) * np.dtype(np.float64).itemsize)
    like = _specification(network, config, {"recent": recent})
    leaves, place = [], 0
    for leaf in jax.tree.leaves(like):
        leaves.append(np.frombuffer(said, leaf.dtype, leaf.size, place).reshape(leaf.shape))
        place += _bytes(leaf)
    return Beginning(jax.tree.unflatten(jax.tree.structure(like), leaves))


def is_finished(checkpoints: Checkpoints) -> bool:
    """Whether the newest checkpoint is the last of its training; False if that cannot be read."""
    for step in checkpoints.steps()[-1:]:
        with contextlib.suppress(CheckpointError, CorruptFileError):
            return read_record(checkpoints.path(step)).content.get("finished") is True
    return False


def load_model(path: str | Path) -> LanguageModel:
    """The language model in a checkpoint.

    Args:
      path: the folder of one step.

    Raises:
      CorruptFileError: if the checkpoint is damaged.
      CheckpointError: if it is not that of a language model.
    """
    try:
        content, _, arrays = read_record(path)
        training = content["training_of"]
        network = from_description(training["network"])
        vocabulary = vocabulary_from_description(training["vocabulary"])
        like = _specification(network, TrainConfig(**training["training"]), content)
        names = iter(name for name, _ in named_leaves(like))
        # As it was saved, whether or not JAX has float64 here.
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.dtype(arrays[next(names)]["dtype"])),
            like,
        )
        point, _ = load_checkpoint(path, like)
    except (CheckpointError, CorruptFileError):
        raise
    except Exception as error:  # whatever a hostile description makes of a network or an optimizer
        raise CheckpointError(f"'{path}' is not the checkpoint of a language model.") from error
    return LanguageModel(network, average_of(point.state), vocabulary)


def _specification(network, config, content):
    """What the arrays of a point look like."""
    recent = content.get("recent")
    if not isinstance(recent, int) or not 0 <= recent < config.report_every:
        raise CorruptFileError(f"the checkpoint counts {recent!r:.80} steps since its report.")
    figures = jax.ShapeDtypeStruct((recent, len(GuardedMetrics._fields)), np.dtype(np.float64))
    point = jax.eval_shape(lambda: begin(network, config))
    return point._replace(recent=figures)


def _bytes(leaf):
    return leaf.size * leaf.dtype.itemsize


def _versions():
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "device": jax.devices()[0].device_kind,
    }


def _version(library):
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # run from its source, not installed
        return "unknown"
