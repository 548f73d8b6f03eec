"""A picture of training (needs the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path

from jaxrnn.errors import InputError, MissingExtraError
from jaxrnn.text.fitting import Report


def plot_losses(path: str | Path, reports: Sequence[Report]) -> None:
    """Draw training and validation loss over the updates into a picture file.

    Args:
      path: where to; its suffix says the format, as in `losses.png`.
      reports: what `fit` yielded.

    Raises:
      MissingExtraError: if matplotlib is not installed.
      InputError: if the file cannot be written.
    """
    try:
        # The figure by itself, without pyplot: no window system is asked for and nothing is global.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", extra="plot") from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [report.step for report in reports]
    axes.plot(steps, [report.loss for report in reports], label="training")
    axes.plot(steps, [report.validation_loss for report in reports], label="validation")
    axes.set_xlabel("updates")
    axes.set_ylabel("cross-entropy (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be drawn: {error}.") from error
