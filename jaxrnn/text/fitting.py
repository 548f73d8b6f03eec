"""Training a language model, step by step, from any point at which it once stood."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxrnn
from jaxrnn.errors import NonFiniteError
from jaxrnn.text.batches import training_windows
from jaxrnn.text.evaluation import evaluate
from jaxrnn.text.recipe import TrainConfig, check_config, check_shares, make_optimizer
from jaxrnn.training import (
    Devices,
    GuardedMetrics,
    OneDevice,
    TrainState,
    accumulated,
    average_of,
    cross_entropy,
    guard,
    init_state,
    make_update,
    restart,
)

ONE_DEVICE = OneDevice()
PROBE = 4096  # held-out tokens read at each report; the whole held-out part would take too long
AHEAD = 2  # steps given to the device before it has done the first of them


class Point(NamedTuple):
    """Where training stands: with the configuration and the text, all that the rest depends on."""

    state: TrainState  # parameters, optimizer state, carry, step; the step is the place in the text
    key: jax.Array  # data of the random key of dropout
    recent: np.ndarray  # [steps since the last report, figures]: what the next one will average
    skipped: np.ndarray  # updates left out in a row, up to here


class Report(NamedTuple):
    """How training stands after `step` updates."""

    step: int
    loss: float  # nats per token, mean over the updates since the last report; NaN if all skipped
    gradient_norm: float  # mean over the same updates, before clipping
    validation_loss: float  # nats per token on the beginning of the held-out text
    tokens_per_second: float
    params: Any  # known to be good: the validation loss was computed with them and is finite
    update_ratio: float = 0.0  # mean of ‖Δθ‖ / ‖θ‖ over the same updates
    skipped: int = 0  # updates that were left out since the last report
    point: Point | None = None  # where to go on from


class Stopped(Exception):  # no error, but like one it ends whatever is under way
    """Training was asked to stop, and may go on from `point`."""

    def __init__(self, point: Point):
        """Keep the point."""
        super().__init__(f"stopped after step {int(point.state.step)}")
        self.point = point


def next_token_loss(network, fold=jaxrnn.folds.automatic):
    """The loss function of a language model for `make_update`.

    Args:
      network: a layer from tokens to logits.
      fold: how time is folded.

    Returns:
      `loss_fn(params, carry, batch) -> (nats, carry)`; the batch is inputs and targets, both
      [time, *batch], and a key if there shall be noise.
    """

    def loss_fn(params, carry, batch):
        inputs, targets, *key = batch
        noise = key[0] if key else None
        carry, logits = jaxrnn.unroll(network, params, inputs, carry, key=noise, fold=fold)
        return cross_entropy(logits, targets), carry

    return loss_fn


def begin(network, config: TrainConfig) -> Point:
    """The point before the first step.

    Args:
      network: a layer from tokens to logits.
      config: how to train.

    Returns:
      What `fit` begins with if it is given nothing else; under `jax.eval_shape`, what a checkpoint
      of that training looks like, but for the length of `recent`.
    """
    key = jax.random.key(config.seed)
    params = network.init(key)
    start = network.start(params, (config.batch,))
    return Point(
        state=init_state(params, make_optimizer(config), start),
        # A number that no layer has: layers take the first keys of the seed for their parameters.
        key=jax.random.key_data(jax.random.fold_in(key, 10**9)),
        recent=np.zeros((0, len(GuardedMetrics._fields))),
        skipped=np.zeros((), np.int32),
    )


def fit(
    network,
    config: TrainConfig,
    train,
    validation,
    fold=jaxrnn.folds.automatic,
    start: Point | None = None,
    stop: Callable[[], Any] = lambda: False,
    devices: Devices = ONE_DEVICE,
) -> Iterator[Report]:
    """Train a network to predict the next token, and report as it goes.

    The carry is handed from window to window and begins afresh with each pass over the text. The
    last report holds the trained parameters; stopping early is leaving the loop. From any point, by
    way of a file or not, everything goes on as if it had never stopped, bit for bit on the same
    machine and versions.

    Args:
      network: a layer from tokens to logits.
      config: how to train.
      train: [time]; the tokens to learn from; [time, streams] if they are in streams already. An
        array, or unread, as all tokens here.
      validation: [time, *streams]; held out; the first 4,096 instants are read at each report.
      fold: how time is folded.
      start: where to go on from; the beginning if None.
      stop: asked before each step whether to stop there.
      devices: where steps run. The batches are the same on any number of devices, noise included,
        and the numbers so to rounding; on the same number of them, they are the same bits.

    Returns:
      An iterator of reports, one per `config.report_every` updates and one at the end.

    Raises:
      InputError: if a number in the configuration is out of range, or the devices cannot share the
        batch equally.
      CorpusError: if the text is too short for one window.
      NonFiniteError: if the parameters are spoiled or too many updates in a row had to be left out;
        the report before it is still good.
      Stopped: if `stop` says so.
    """
    check_config(config)
    check_shares(config, devices.count)
    windows = training_windows(train, config.batch, config.window)
    start = begin(network, config) if start is None else start
    steps = _train_steps(network, config, fold, devices)
    probe = np.asarray(validation[: PROBE + 1])
    return _reports(network, config, windows, probe, steps, devices, start, stop)


@functools.lru_cache(maxsize=8)
def _train_steps(network, config, fold, devices):
    """The step, and that to the next pass over the text, compiled once for equal descriptions."""
    loss_fn = next_token_loss(network, devices.fold(fold))
    if config.accumulate > 1:
        loss_fn = accumulated(loss_fn, config.accumulate, noisy=True)
    update = guard(make_update(loss_fn, make_optimizer(config)))

    def step(state, key, inputs, targets):
        # Of the step rather than split off: no state of chance is left to be lost.
        noise = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
        return update(state, (inputs, targets, noise))

    def begin_anew(state):
        return restart(state, network.start(state.params, (config.batch,)))

    # Donated: a second buffer for parameters and moments costs memory and, on CPU, time for fresh
    # pages.
    return tuple(devices.compile(each, config.batch) for each in (step, begin_anew))


def _reports(network, config, windows, probe, steps, devices, point, stop):
    train_step, begin_anew = steps
    # Copied: the first step donates it.
    state = devices.put(point.state, config.batch)
    key, recent, in_a_row = np.asarray(point.key), point.recent, int(point.skipped)
    done = int(state.step)
    while done < config.steps:
        begun, metrics = time.perf_counter(), []
        end = min((done // config.report_every + 1) * config.report_every, config.steps)
        for step in range(done, end):
            if stop():
                recent, in_a_row = _take_in(metrics, recent, in_a_row, done, config.max_skipped)
                raise Stopped(_point(devices.fetch(state), key, recent, in_a_row))
            place = step % len(windows)
            if step and place == 0:
                state = begin_anew(state)
            state, measured = train_step(state, key, *devices.put_batch(*windows[place]))
            metrics.append(measured)
            if len(metrics) > AHEAD:
                # The device stays busy, and Python near enough to it to be asked to stop.
                metrics[-1 - AHEAD].loss.block_until_ready()
        # Fetched once per report, so that the device need not wait for Python at every step.
        recent, in_a_row = _take_in(metrics, recent, in_a_row, done, config.max_skipped)
        seconds = time.perf_counter() - begun
        done = end
        # Copies, because the next step donates the state that they are taken from.
        point = _point(devices.fetch(state), key, recent[:0], in_a_row)
        params = average_of(point.state)
        # Losses are measured before an update; this one shows that the last update did no harm.
        validation_loss = evaluate(network, params, probe)
        if not np.isfinite(validation_loss):
            first = done - max(0, in_a_row - 1)
            raise NonFiniteError(
                f"training left the finite numbers at step {first}: try a lower learning rate.",
                first,
            )
        figures = GuardedMetrics(*recent.T)
        good = figures.skipped == 0
        yield Report(
            step=done,
            loss=_mean(figures.loss[good]),
            gradient_norm=_mean(figures.gradient_norm[good]),
            validation_loss=validation_loss,
            tokens_per_second=len(metrics) * config.batch * config.window / seconds,
            params=params,
            update_ratio=_mean(figures.update_ratio[good]),
            skipped=int((~good).sum()),
            point=point,
        )
        recent = recent[:0]


def _take_in(metrics, recent, in_a_row, done, max_skipped):
    """Add the figures of some steps to those since the last report; count what was left out."""
    if not metrics:
        return recent, in_a_row
    figures = np.array(jax.device_get(metrics), np.float64)
    for step, skipped in enumerate(GuardedMetrics(*figures.T).skipped, start=done + 1):
        in_a_row = in_a_row + 1 if skipped else 0
        if in_a_row == max_skipped:
            raise NonFiniteError(
                f"the loss or its gradient was not finite at {in_a_row} steps in a row, the last "
                f"of them step {step}: try a lower learning rate.",
                step,
            )
    return np.concatenate([recent, figures]), in_a_row


def _point(state, key, recent, in_a_row):
    return Point(state, np.array(key), recent, np.array(in_a_row, np.int32))


def _mean(figures):
    return float(figures.mean()) if figures.size else float("nan")
