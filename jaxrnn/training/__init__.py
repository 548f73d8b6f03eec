"""Training: losses, penalties, pure training steps, windows of a sequence, and what they need.

That is epochs in one compiled call, gradients accumulated, parameters averaged, bad updates left
out, signals to stop, and steps on many devices and in many processes.
"""

from jaxrnn.training.accumulation import accumulated
from jaxrnn.training.averaging import average_of, averaged, exponential, since
from jaxrnn.training.devices import Devices, ManyDevices, OneDevice, data_mesh
from jaxrnn.training.epochs import History, run_epochs
from jaxrnn.training.guard import GuardedMetrics, guard
from jaxrnn.training.losses import bits, cross_entropy, mean_squared_error
from jaxrnn.training.processes import (
    Agreement,
    check_alike,
    losses_reported,
    meet,
    part,
    told_by_first,
)
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
from jaxrnn.training.windows import Windows, contiguous_windows, sliding_windows

__all__ = [
    "Agreement",
    "Devices",
    "GuardedMetrics",
    "History",
    "ManyDevices",
    "OneDevice",
    "TrainMetrics",
    "TrainState",
    "Windows",
    "accumulated",
    "activation_penalty",
    "adam",
    "average_of",
    "averaged",
    "bits",
    "check_alike",
    "contiguous_windows",
    "cross_entropy",
    "data_mesh",
    "exponential",
    "guard",
    "init_state",
    "losses_reported",
    "make_train_step",
    "make_update",
    "mean_squared_error",
    "meet",
    "part",
    "restart",
    "run_epochs",
    "since",
    "sliding_windows",
    "stop_signals",
    "temporal_activation_penalty",
    "told_by_first",
    "two_biases",
]
