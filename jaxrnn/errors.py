"""What can go wrong with what a user gives, by name.

Every message is one sentence that says what was given, what was expected and what to do, so that a
command line can print it as it stands instead of a traceback.
"""


class InputError(ValueError):
    """What was given cannot be used; the message is the sentence to show."""


class CorpusError(InputError):
    """A text cannot be read, or is too short for what is asked of it."""


class VocabularyError(InputError):
    """A character or a token lies outside the vocabulary."""


class ModelFileError(InputError):
    """A model file is not one, or it or another file of ours cannot be read or written."""


class CorruptFileError(ModelFileError):
    """A model file, a checkpoint or a file of tokens was damaged after it was written."""


class CheckpointError(InputError):
    """A checkpoint is not one, cannot be read, or is that of another training."""


class SaveError(OSError):
    """A checkpoint or a metric could not be written in the middle of training."""


class ProcessError(RuntimeError):
    """Other processes that train together with this one did not come, or are gone."""


class ConversionError(InputError):
    """A network or its weights cannot be expressed in the other library, or do not fit."""


class NonFiniteError(ArithmeticError):
    """Training produced infinity or not-a-number at `step`."""

    def __init__(self, message: str, step: int):
        """Keep the step beside the message."""
        super().__init__(message)
        self.step = step


class MissingExtraError(ImportError):
    """An optional package is not installed.

    Example:
      >>> print(MissingExtraError("matplotlib", extra="plot"))
      matplotlib is not installed; get it with: pip install 'jaxrnn[plot]'
    """

    def __init__(self, package: str, extra: str):
        """Name the package and the extra that brings it."""
        super().__init__(
            f"{package} is not installed; get it with: pip install 'jaxrnn[{extra}]'", name=package
        )
