"""What one may choose of a training: optimizer, schedule, averaging, noise, precision."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn import text
from jaxrnn.errors import InputError
from jaxrnn.training import (
    accumulated,
    average_of,
    averaged,
    exponential,
    guard,
    init_state,
    make_update,
    since,
    stop_signals,
)

TOKENS = np.tile([0, 1, 2, 3, 1], 40)
CONFIG = text.TrainConfig(steps=6, batch=2, window=6, report_every=6, learning_rate=1e-2)
MODEL = text.ModelConfig(layers=1, hidden_size=5, embedding_size=3)


def last_report(model=MODEL, **training):
    config = dataclasses.replace(CONFIG, **training)
    network = text.build_network(model, 4)
    *_, report = text.fit(network, config, TOKENS, TOKENS[:20])
    return report


def squared(params, carry, target):
    return jnp.sum(jnp.square(params - target)), carry


def trained(optimizer, targets):
    """The parameters after each step, and the last state."""
    state, update = init_state(jnp.zeros(2), optimizer), make_update(squared, optimizer)
    seen = []
    for target in targets:
        state, _ = update(state, target)
        seen.append(np.asarray(state.params))
    return np.array(seen), state


@pytest.mark.parametrize("start", [0, 2])
def test_the_average_since_an_update_is_the_mean_of_what_came_after(start):
    targets = np.random.default_rng(0).normal(size=(6, 2))
    seen, state = trained(averaged(optax.sgd(0.1), since(start)), targets)
    np.testing.assert_allclose(average_of(state), seen[start:].mean(0), rtol=1e-12)
    plain, _ = trained(optax.sgd(0.1), targets)
    np.testing.assert_array_equal(seen, plain)  # training itself does not change


def test_the_exponential_average_is_its_sum():
    targets = np.random.default_rng(0).normal(size=(30, 2))
    seen, state = trained(averaged(optax.sgd(0.1), exponential(0.9)), targets)
    expected = seen[0]
    for count, params in enumerate(seen, start=1):
        weight = max(0.1, 1 / count)
        expected = (1 - weight) * expected + weight * params
    np.testing.assert_allclose(average_of(state), expected, rtol=1e-12)


def test_an_average_needs_the_parameters():
    optimizer = averaged(optax.sgd(1.0), since(0))
    state = optimizer.init(jnp.array(0.0))
    with pytest.raises(ValueError, match="averaged: give the parameters"):
        optimizer.update(jnp.array(1.0), state)


@pytest.mark.parametrize("bad", ["loss", "gradient", "carry"])
def test_a_bad_update_changes_nothing_but_the_step(bad):
    def loss_fn(params, carry, poison):
        loss = jnp.sum(params**2)
        if bad == "loss":
            return loss + poison, carry
        if bad == "carry":
            return loss, carry + poison
        # A slope that is not finite where the value is: 0 · √0.
        return loss + poison * jnp.sum(jnp.sqrt(params * 0)), carry

    optimizer = optax.adam(0.1)
    update = jax.jit(guard(make_update(loss_fn, optimizer)))
    good, metrics = update(init_state(jnp.ones(2), optimizer, jnp.zeros(1)), 0.0)
    if bad == "gradient":
        assert bool(metrics.skipped)  # 0 · ∞ from the start
        return
    assert not metrics.skipped and metrics.update_ratio == pytest.approx(0.1, rel=1e-3)
    after, metrics = update(good, jnp.inf)
    assert bool(metrics.skipped) and float(metrics.update_ratio) == 0
    assert int(after.step) == int(good.step) + 1
    for left, right in zip(
        jax.tree.leaves(good._replace(step=after.step)), jax.tree.leaves(after), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_every_optimizer_is_optax_s():
    params, gradient = {"w": jnp.array([1.0, -2.0])}, {"w": jnp.array([0.3, -0.1])}
    for kind, twin in {
        "adam": optax.adam(1e-2),
        "adamw": optax.adamw(1e-2, weight_decay=0.01),
        "sgd": optax.sgd(1e-2),
        "momentum": optax.sgd(1e-2, momentum=0.9),
        "rmsprop": optax.rmsprop(1e-2, decay=0.95),
        "adagrad": optax.adagrad(1e-2),
    }.items():
        ours = text.make_optimizer(
            dataclasses.replace(CONFIG, optimizer=kind, decay="constant", clip=1e9)
        )
        states = [optimizer.init(params) for optimizer in (ours, twin)]
        for _ in range(2):  # the second shows the momentum
            pairs = [
                optimizer.update(gradient, state, params)
                for optimizer, state in zip((ours, twin), states, strict=True)
            ]
            states = [state for _, state in pairs]
        np.testing.assert_allclose(pairs[0][0]["w"], pairs[1][0]["w"], rtol=1e-12)


@pytest.mark.parametrize("decay", ["cosine", "linear", "constant"])
def test_the_rate_rises_and_falls_as_told(decay):
    config = text.TrainConfig(steps=100, learning_rate=0.5, warmup=10, decay=decay, final_share=0.2)
    rates = [float(text.learning_rate(config)(step)) for step in range(101)]
    np.testing.assert_allclose(rates[:10], 0.5 * np.arange(1, 11) / 10, rtol=1e-6)
    assert rates[10] == pytest.approx(0.5)
    middle = {"cosine": 0.3, "linear": 0.3, "constant": 0.5}[decay]
    end = {"cosine": 0.1, "linear": 0.1, "constant": 0.5}[decay]
    assert (rates[55], rates[100]) == (pytest.approx(middle), pytest.approx(end))


def test_noise_is_in_training_only_and_depends_on_the_seed_and_the_step():
    plain, noisy = (
        jaxrnn.stack(jaxrnn.OneHot(4), *noise, jaxrnn.Linear(4, 4))
        for noise in ([], [jaxrnn.Dropout(4, 0.5)])
    )
    # Without moving, and with windows that are all alike, only noise can tell two steps apart.
    still = dataclasses.replace(CONFIG, steps=2, report_every=1, learning_rate=1e-30, window=5)

    def run(network, **start):
        point = text.begin(network, still)._replace(**start)
        reports = list(text.fit(network, still, TOKENS, TOKENS[:20], start=point))
        again = text.evaluate(network, reports[-1].params, TOKENS[:20])
        assert again == reports[-1].validation_loss
        return [report.loss for report in reports]

    first, second = run(plain)
    assert first == second
    first, second = run(noisy)
    assert first != second and run(noisy) == [first, second]
    assert run(noisy, key=np.array([1, 2], np.uint32))[0] != first


def test_the_average_is_what_is_evaluated_and_kept():
    report = last_report(average="since", average_since=0)
    state = report.point.state
    assert not np.array_equal(report.params.layers[-1].kernel, state.params.layers[-1].kernel)
    for left, right in zip(*map(jax.tree.leaves, (report.params, average_of(state))), strict=True):
        np.testing.assert_array_equal(left, right)
    network = text.build_network(MODEL, 4)
    assert text.evaluate(network, report.params, TOKENS[:20]) == report.validation_loss


def test_networks_with_noise_and_in_bfloat16():
    model = dataclasses.replace(
        MODEL, layers=2, dropout=0.1, locked_dropout=0.2, weight_drop=0.3, precision="bfloat16"
    )
    network = text.build_network(model, 4)
    assert isinstance(network, jaxrnn.MixedPrecision)
    kinds = [type(layer).__name__ for layer in network.layer.layers]
    noise = ["Dropout", "VariationalDropout"]
    assert kinds == ["Embedding", *noise, "WeightDrop", *noise, "WeightDrop", *noise, "Linear"]
    assert np.isfinite(last_report(model).loss)
    one_hot = text.build_network(dataclasses.replace(model, embedding_size=0), 4)
    assert type(one_hot.layer.layers[1]).__name__ == "WeightDrop"  # unit vectors are kept whole


def test_parts_of_a_batch_make_the_same_update():
    """Losses, carries handed on, parameters: with float64, near rounding error."""
    whole, parts = last_report(batch=4), last_report(batch=4, accumulate=2)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-9)
    left, right = (report.point.state for report in (whole, parts))
    for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


def test_parts_of_a_batch_need_less_memory():
    network = text.build_network(text.ModelConfig(layers=1, hidden_size=64), 20)
    params = jax.eval_shape(network.init, jax.random.key(0))
    carry = jax.eval_shape(lambda: network.initial_carry((64,)))
    tokens = jax.ShapeDtypeStruct((32, 64), jnp.int32)

    def memory(parts):
        loss_fn = accumulated(text.next_token_loss(network), parts)
        gradient = jax.jit(jax.grad(loss_fn, has_aux=True))
        compiled = gradient.lower(params, carry, (tokens, tokens)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(8) < memory(1) / 3
    with pytest.raises(InputError, match="64 rows has no 7 equal parts"):
        memory(7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("accumulate", 0),
            ("accumulate", 3),
            ("warmup", -1),
            ("warmup", 6),
            ("final_share", 1.5),
            ("average_decay", -0.1),
        ),
        *(("weight_decay", float("nan")), ("max_skipped", 0)),
    ],
)
def test_bad_choices_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        last_report(**{name: value})


@pytest.mark.parametrize("name", ["dropout", "locked_dropout", "weight_drop"])
def test_bad_rates_are_refused(name):
    with pytest.raises(InputError, match=f"{name} is 1.0; give a share from 0 to below 1"):
        text.build_network(dataclasses.replace(MODEL, **{name: 1.0}), 4)


def test_outside_of_the_main_thread_no_signal_is_taken():
    answers = []

    def ask():
        with stop_signals() as stop:
            answers.append(stop())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [None]
