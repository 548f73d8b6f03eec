"""How a language model is trained: what one may choose, and the optimizer that comes of it."""

import dataclasses
from typing import Literal

import optax

from jaxrnn.errors import InputError
from jaxrnn.text.language_model import check_positive
from jaxrnn.training import averaged, exponential, since


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Truncated backpropagation through time."""

    steps: int = 2000
    """Number of updates."""
    batch: int = 32
    """Streams of text read side by side."""
    window: int = 64
    """Characters through which the gradient flows back."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    report_every: int = 50
    """Updates between two reports."""
    seed: int = 0
    """Seed of the initial parameters and of dropout."""
    optimizer: Literal["adam", "adamw", "sgd", "momentum", "rmsprop", "adagrad"] = "adam"
    """What makes updates of gradients; momentum is 0.9, the decay of rmsprop 0.95."""
    weight_decay: float = 0.01
    """Decay of the parameters at each update, times the learning rate; of adamw only."""
    warmup: int = 0
    """Updates during which the learning rate rises to its peak along a line."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after that."""
    final_share: float = 0.1
    """Share of the peak learning rate that is left at the end."""
    average: Literal["none", "exponential", "since"] = "none"
    """Evaluate and save an average of the parameters: exponential, or over all since an update."""
    average_decay: float = 0.999
    """Share of the exponential average that stays at each update."""
    average_since: int = 1000
    """The update after which the average over all begins."""
    accumulate: int = 1
    """Parts of a batch that are read one after the other, to save memory; same update."""
    max_skipped: int = 10
    """Updates left out in a row, their loss or gradient not being finite, that end the training."""


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """The learning rate of each update.

    Args:
      config: its peak, warm-up and decay.

    Example:
      >>> config = TrainConfig(steps=10, learning_rate=1.0, warmup=4, decay="linear")
      >>> [round(float(learning_rate(config)(step)), 2) for step in (0, 3, 4, 7, 10)]
      [0.25, 1.0, 1.0, 0.55, 0.1]
    """
    peak, steps = config.learning_rate, config.steps - config.warmup
    falling = {
        "cosine": optax.cosine_decay_schedule(peak, steps, alpha=config.final_share),
        "linear": optax.linear_schedule(peak, peak * config.final_share, steps),
        "constant": optax.constant_schedule(peak),
    }[config.decay]
    if not config.warmup:
        return falling
    return optax.join_schedules(
        [lambda count: peak * (count + 1) / config.warmup, falling], [config.warmup]
    )


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimizer that a configuration describes.

    Args:
      config: its kind, learning rate, clipping and averaging.

    Example:
      >>> import jax.numpy as jnp
      >>> state = make_optimizer(TrainConfig(optimizer="sgd")).init({"w": jnp.zeros(2)})
    """
    rate = learning_rate(config)
    kind = {
        "adam": optax.adam(rate),
        "adamw": optax.adamw(rate, weight_decay=config.weight_decay),
        "sgd": optax.sgd(rate),
        "momentum": optax.sgd(rate, momentum=0.9),
        "rmsprop": optax.rmsprop(rate, decay=0.95),
        "adagrad": optax.adagrad(rate),
    }[config.optimizer]
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip), kind)
    weights = {
        "exponential": exponential(config.average_decay),
        "since": since(config.average_since),
    }
    if config.average == "none":
        return optimizer
    return averaged(optimizer, weights[config.average])


def check_config(config: TrainConfig) -> None:
    """Raise InputError if a number in the configuration is out of range."""
    positive = ("steps", "batch", "window", "learning_rate", "clip", "report_every", "max_skipped")
    check_positive(
        accumulate=config.accumulate, **{name: getattr(config, name) for name in positive}
    )
    if config.batch % config.accumulate:
        raise InputError(
            f"accumulate is {config.accumulate}, but a batch of {config.batch} has no "
            f"{config.accumulate} equal parts: give a divisor."
        )
    if not 0 <= config.warmup < config.steps:
        raise InputError(
            f"warmup is {config.warmup}; give 0 or more, and less than the {config.steps} steps."
        )
    for name, highest in {"final_share": 1, "average_decay": 1, "weight_decay": 1e6}.items():
        if not 0 <= getattr(config, name) <= highest:
            raise InputError(
                f"{name} is {getattr(config, name)}; give a number from 0 to {highest:g}."
            )


def check_shares(config: TrainConfig, devices: int) -> None:
    """Raise InputError unless so many devices can share a batch equally."""
    shares = devices * config.accumulate
    if config.batch % shares:
        parts = f", each in {config.accumulate} parts" if config.accumulate > 1 else ""
        raise InputError(
            f"a batch of {config.batch} rows cannot be shared equally by {devices} devices{parts}: "
            f"give a multiple of {shares}."
        )
