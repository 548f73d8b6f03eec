"""Training: losses, one pure training step, and windows of a long sequence."""

from jaxrnn.training.epochs import History, run_epochs
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
from jaxrnn.training.two_biases import two_biases
from jaxrnn.training.windows import Windows, contiguous_windows, sliding_windows, stream_windows

__all__ = [
    "History",
    "TrainMetrics",
    "TrainState",
    "Windows",
    "activation_penalty",
    "adam",
    "bits",
    "contiguous_windows",
    "cross_entropy",
    "init_state",
    "make_train_step",
    "make_update",
    "mean_squared_error",
    "restart",
    "run_epochs",
    "sliding_windows",
    "stream_windows",
    "temporal_activation_penalty",
    "two_biases",
]
