"""jaxrnn as its README shows it: `unroll`, `text.generate`, steps of training, and any fold."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jobs import (
    ALPHABET,
    CHARACTERS,
    CLIP,
    LEARNING_RATE,
    STREAMS,
    VOCABULARY,
    Equations,
    Model,
    Skip,
)
from weights import Layers, make_data, make_weights, spell

import jaxrnn
from contenders import Ready, jax_works
from jaxrnn import text, training

ONE_DEVICE = training.OneDevice()
MAKERS = ("rebuilt", "checkpointed", "offloaded")  # which are told how, here: nothing
NETWORKS = {
    "LSTM": jaxrnn.lstm_network,
    "GRU": jaxrnn.gru_network,
    "Elman": jaxrnn.elman_network,
}


def equations(model: Model) -> Equations:
    """One bias, and the GRU's second for its candidate."""
    return Equations("n" if model.cell == "GRU" else "none")


def build(
    work: str, model: Model, fold: str | None = None, devices: training.Devices = ONE_DEVICE
) -> Ready:
    """The works, with the fold that jaxrnn chooses or with another."""
    if work in STREAMS:
        if fold:
            raise Skip("while sampling there is nothing to fold.")
        return sampling(work, model)
    chosen = devices.fold(chosen_fold(fold))
    if work == "train":
        return train(model, chosen, devices)
    layers = network(model)

    def apply(params, xs):
        return jaxrnn.unroll(layers, params, xs, fold=chosen)[1]

    def place(params, sequences):
        return devices.put(params, model.size.batch), devices.put_batch(
            *jax_works.on_device(sequences)
        )

    adapter = jax_works.Network(lambda weights: write(model, layers, weights), apply, place=place)
    return jax_works.build(work, model, equations(model), adapter)


def chosen_fold(fold: str | None) -> Callable:
    """The fold of that name; the one that `unroll` takes if it is not told any."""
    if fold is None:
        return jaxrnn.folds.automatic
    if not hasattr(jaxrnn.folds, fold):
        raise Skip(f"this jaxrnn has no fold {fold}.")
    if fold == "offloaded" and jax.default_backend() == "cpu":
        raise Skip("on a CPU the memory of host and device is one.")
    if fold == "cudnn" and jax.default_backend() != "gpu":
        raise Skip("cuDNN runs on GPUs only.")
    found = getattr(jaxrnn.folds, fold)
    return found() if fold in MAKERS else found


def network(model: Model) -> jaxrnn.Layer:
    """The layers between embedding and output layer."""
    _, _, width, layers = model.size
    return NETWORKS[model.cell](width, width, layers, bidirectional=model.directions == 2)


def write(model: Model, layers: jaxrnn.Stack, weights: Layers) -> Any:
    """Into the fields of the cells' parameters."""
    width = model.size.width
    kind = {"LSTM": jaxrnn.LSTMParams, "GRU": jaxrnn.GRUParams, "Elman": jaxrnn.ElmanParams}

    def cell(given):
        second = {"recurrent_bias": given.c[2 * width :]} if model.cell == "GRU" else {}
        return kind[model.cell](
            input_kernel=given.w, recurrent_kernel=given.r, bias=given.b, **second
        )

    spec = jax.eval_shape(layers.init, jax.random.key(0))
    written = []
    for own, given in zip(spec.layers, weights, strict=True):
        cells = list(map(cell, given))
        written.append(type(own)(*cells) if model.directions == 2 else cells[0])
    return spec._replace(layers=tuple(written))


def character_model(model: Model):
    """Embedding, layers and output layer, with their parameters."""
    weights = make_weights(model, equations(model))
    width, layers = model.size.width, network(model)
    whole = jaxrnn.stack(
        jaxrnn.Embedding(VOCABULARY, width),
        *layers.layers,
        jaxrnn.Linear(model.directions * width, VOCABULARY),
    )
    spec = jax.eval_shape(whole.init, jax.random.key(0))
    params = spec._replace(
        layers=(
            spec.layers[0]._replace(table=weights.table),
            *write(model, layers, weights.layers).layers,
            spec.layers[-1]._replace(kernel=weights.kernel, bias=weights.bias),
        )
    )
    return whole, jax_works.on_device(params)


def train(model: Model, fold: Callable, devices: training.Devices) -> Ready:
    """A step, which clips, takes Adam's update and donates the old state."""
    whole, params = character_model(model)

    def loss(params, carry, batch):
        tokens, targets = batch
        logits = jaxrnn.unroll(whole, params, tokens, fold=fold)[1]
        return training.cross_entropy(logits, targets), carry

    optimizer = training.adam(LEARNING_RATE, optax.clip_by_global_norm(CLIP))
    data, rows = make_data(model), model.size.batch
    return jax_works.training(
        devices.compile(training.make_update(loss, optimizer), rows),
        devices.put(training.init_state(params, optimizer), rows),
        devices.put_batch(*jax_works.on_device((data.tokens, data.targets))),
    )


def sampling(work: str, model: Model) -> Ready:
    """`jaxrnn.text.generate`, as a user calls it."""
    streams = STREAMS[work]
    whole, params = character_model(model)
    vocabulary = text.CharVocabulary(ALPHABET)
    prompts, key = [ALPHABET[0]] * streams, jax.random.key(0)

    def run(temperature=1.0):
        pieces = text.generate(whole, params, vocabulary, prompts, CHARACTERS, key, temperature)
        return list(map("".join, zip(*pieces, strict=True)))

    def differences(results, reference):
        expected = spell(reference[work])
        return {"characters": float(run(temperature=0.0) != expected)}

    return Ready(run, differences)
