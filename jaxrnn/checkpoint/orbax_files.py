"""The only file that knows Orbax: arrays and a record into a folder, and back."""

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath  # which Orbax brings

_UNFINISHED = ".orbax-checkpoint-tmp"

# What goes wrong is raised, and becomes one sentence; Orbax logs it as well, with a traceback.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


class ArrayFacts(NamedTuple):
    """What a file says about an array before any of it is read."""

    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...]


class Writer:
    """Writes one checkpoint at a time in the background."""

    def __init__(self, complete: Callable[[Path], None]):
        """Nothing is written yet.

        Args:
          complete: called with the folder when everything is in it, before it gets its name.
        """
        _be_quiet_about_closed_loops()
        self._path: Path | None = None

        def call():
            # Asked now rather than before: Orbax made the name.
            (folder,) = self._path.parent.glob(f"{self._path.name}{_UNFINISHED}*")
            complete(folder)

        alone = _alone()
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(
                state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
                record=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
                composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
            ),
            async_options=ocp.AsyncOptions(post_finalization_callback=call),
            multiprocessing_options=alone,
        )

    def begin(self, path: Path, arrays: Mapping[str, np.ndarray], record: Any) -> None:
        """Begin to write; the folder has its name only when everything is in it."""
        self._path = path.absolute()
        self._checkpointer.save(
            self._path,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(dict(arrays)), record=ocp.args.JsonSave(record)
            ),
        )

    def check(self) -> None:
        """Raise what the background raised, if it did."""
        self._checkpointer.check_for_errors()

    def finish(self) -> None:
        """Wait for the background; raise what it raised."""
        self._checkpointer.wait_until_finished()

    def close(self) -> None:
        """Wait for the background, and end it."""
        self._checkpointer.close()


def _alone():
    """Of several processes this one writes or reads, and waits for none: it has all there is."""
    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=this, active_processes={this})


@functools.cache  # once, and from then on: such a write may end at any time
def _be_quiet_about_closed_loops():
    """Print nothing about writes that outlive the failure of another one.

    When one of several writes fails, Orbax closes their event loop, and each of the others finds it
    closed. Nobody can catch that, and the failure itself has been raised.
    """
    before = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook


def read_record(folder: Path) -> Any:
    """The JSON of a checkpoint, as it is."""
    handler = ocp.JsonCheckpointHandler(multiprocessing_options=_alone())
    return handler.restore(_path(folder), args=ocp.args.JsonRestore())


def array_facts(folder: Path) -> dict[str, ArrayFacts]:
    """What the files say about each array."""
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
    found = handler.metadata(_path(folder)).tree
    return {
        name: ArrayFacts(tuple(array.shape), str(array.dtype), tuple(array.storage.chunk_shape))
        for name, array in found.items()
    }


def read_arrays(folder: Path, facts: Mapping[str, ArrayFacts]) -> dict[str, np.ndarray]:
    """The arrays. Orbax allocates what the files say: hold `array_facts` to account before."""
    target = {
        name: jax.ShapeDtypeStruct(array.shape, jax.numpy.dtype(array.dtype))
        for name, array in facts.items()
    }
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
    found = handler.restore(_path(folder), args=ocp.args.StandardRestore(target))
    return {name: np.asarray(array) for name, array in found.items()}


def is_unfinished(path: Path) -> bool:
    """Whether this is what a killed process left of a checkpoint that it was writing."""
    return _UNFINISHED in path.name


def _path(folder):
    # A handler takes Orbax's kind of path. A `Checkpointer` takes any, but also reads, and talks
    # about, files beside the parts, which are not sealed.
    return epath.Path(folder.absolute())
