"""Training: losses, one pure training step, and windows of a long sequence."""

from jaxrnn.training.accumulation import accumulated
from jaxrnn.training.averaging import average_of, averaged, exponential, since
from jaxrnn.training.epochs import History, run_epochs
from jaxrnn.training.guard import GuardedMetrics, guard
from jaxrnn.training.losses import bits, cross_entropy, mean_squared_error
from jaxrnn.training.regularization import activation_penalty, temporal_activation_penalty
from jaxrnn.training.step import (
    TrainMetrics,
    TrainState,
    adam,
    init_state,
    make_train_step,
    make_update,
    restart,
)
from jaxrnn.training.stopping import stop_signals
from jaxrnn.training.two_biases import two_biases
from jaxrnn.training.windows import Windows, contiguous_windows, sliding_windows, stream_windows

__all__ = [
    "GuardedMetrics",
    "History",
    "TrainMetrics",
    "TrainState",
    "Windows",
    "accumulated",
    "activation_penalty",
    "adam",
    "average_of",
    "averaged",
    "bits",
    "contiguous_windows",
    "cross_entropy",
    "exponential",
    "guard",
    "init_state",
    "make_train_step",
    "make_update",
    "mean_squared_error",
    "restart",
    "run_epochs",
    "since",
    "sliding_windows",
    "stop_signals",
    "stream_windows",
    "temporal_activation_penalty",
    "two_biases",
]
