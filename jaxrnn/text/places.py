"""Where models are: in a file, in a checkpoint, or in the newest of a folder of checkpoints."""

from pathlib import Path
from typing import Any

from jaxrnn import model_file
from jaxrnn.checkpoint import Checkpoints, Retention, is_checkpoint, read_record
from jaxrnn.errors import CorruptFileError


def find_model(path: str | Path) -> Path:
    """The model that is meant: in a folder of checkpoints the newest one that is not damaged.

    Args:
      path: a model file, a checkpoint, or a folder of checkpoints.

    Returns:
      What `load` takes. Where there is no checkpoint it is the path itself.

    Raises:
      CorruptFileError: if all checkpoints are damaged.
    """
    path = Path(path)
    if is_checkpoint(path):
        return path
    checkpoints, damaged = Checkpoints(path, Retention()), []
    for step in reversed(checkpoints.steps()):
        try:
            read_record(checkpoints.path(step))
            return checkpoints.path(step)
        except CorruptFileError as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]
    return path


def model_beside(path: str | Path) -> Path:
    """The model file of a training, there or not, beside which is all that belongs to it.

    Args:
      path: that file, or a checkpoint.

    Example:
      >>> model_beside("char_lm.safetensors").name
      'char_lm.safetensors'
    """
    path = Path(path)
    return path.resolve().parent.with_suffix(".safetensors") if is_checkpoint(path) else path


def load_origin(path: str | Path) -> dict[str, Any]:
    """What is known of the text that a model was trained on.

    Args:
      path: what `load` takes.

    Returns:
      What `SourceConfig.note` takes.
    """
    if not is_checkpoint(path):
        return model_file.load_model(path).metadata
    match read_record(path).content.get("training_of"):
        case {"corpus": {"sha256": sha256}, "split": {"name": name, "validation": length}}:
            return {"sha256": sha256, "split": name, "validation": length}
    return {}
