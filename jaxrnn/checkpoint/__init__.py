"""Checkpoints: where a training stands, on the disk, complete or not at all, and proven on loading.

A checkpoint is a tree of arrays and a record, JSON that says what they are. The SHA-256 of each
array stands in the record, and that of each file in a seal beside it: Orbax, which writes the
files, notices no flipped bit. Nothing in a file is ever executed.
"""

from jaxrnn.checkpoint.matching import difference
from jaxrnn.checkpoint.reading import (
    Loaded,
    Record,
    is_checkpoint,
    load_arrays,
    load_checkpoint,
    read_record,
)
from jaxrnn.checkpoint.store import Checkpoints, Retention, open_checkpoints

__all__ = [
    "Checkpoints",
    "Loaded",
    "Record",
    "Retention",
    "difference",
    "is_checkpoint",
    "load_arrays",
    "load_checkpoint",
    "open_checkpoints",
    "read_record",
]
