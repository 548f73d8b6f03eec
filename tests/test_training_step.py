import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn.training import (
    adam,
    contiguous_windows,
    cross_entropy,
    init_state,
    make_train_step,
    make_update,
    restart,
)

NETWORK = jaxrnn.stack(jaxrnn.OneHot(5), jaxrnn.GRU(5, 8), jaxrnn.Linear(8, 5))


def loss_fn(params, carry, batch):
    inputs, targets = batch
    carry, logits = jaxrnn.unroll(NETWORK, params, inputs, carry)
    return cross_entropy(logits, targets), carry


@pytest.fixture(scope="module")
def windows():
    tokens = np.tile([0, 1, 2, 3, 4, 3, 1], 30)
    return contiguous_windows(tokens, batch=4, length=6)


def initial(key, optimizer):
    params = NETWORK.init(key)
    return init_state(params, optimizer, NETWORK.start(params, (4,)))


def assert_equal(left, right, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), left, right)


def test_training_lowers_the_loss_and_hands_the_carry_on(key, windows):
    optimizer = adam(1e-2)
    train_step = make_train_step(loss_fn, optimizer)
    state = initial(key, optimizer)
    losses = []
    for step in range(60):
        place = step % len(windows.inputs)
        state, metrics = train_step(state, (windows.inputs[place], windows.targets[place]))
        losses.append(float(metrics.loss))
    assert losses[0] == pytest.approx(np.log(5), abs=0.5)
    assert losses[-1] < 0.4
    assert int(state.step) == 60
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(state.carry))


def test_compiled_step_equals_the_update_and_compiles_once(key, windows):
    optimizer = adam()
    batch = (windows.inputs[0], windows.targets[0])
    expected = make_update(loss_fn, optimizer)(initial(key, optimizer), batch)
    train_step = make_train_step(loss_fn, optimizer)
    state, metrics = train_step(initial(key, optimizer), batch)
    assert_equal((state, metrics), expected, rtol=1e-9, atol=1e-12)
    train_step(state, batch)
    assert train_step._cache_size() == 1


def test_the_gradient_stops_at_the_window_boundary(key, windows):
    """The gradient of the second window is the one with its carry held fixed."""
    batches = list(zip(*windows, strict=True))[:2]
    optimizer = optax.sgd(1.0)
    update = make_update(loss_fn, optimizer)
    middle, _ = update(initial(key, optimizer), batches[0])
    after, _ = update(middle, batches[1])
    fixed = jax.tree.map(np.asarray, middle.carry)
    gradient = jax.grad(lambda params: loss_fn(params, fixed, batches[1])[0])(middle.params)
    assert_equal(after.params, jax.tree.map(jnp.subtract, middle.params, gradient), atol=1e-12)


def test_any_clipping_fits(key, windows):
    """With sgd(1) the change of the parameters is the clipped gradient itself."""
    batch = (windows.inputs[0], windows.targets[0])

    def change(clip):
        optimizer = optax.chain(clip, optax.sgd(1.0))
        state = initial(key, optimizer)
        after, metrics = make_update(loss_fn, optimizer)(state, batch)
        return jax.tree.map(jnp.subtract, state.params, after.params), float(metrics.gradient_norm)

    gradient, norm = change(optax.identity())
    assert norm > 0.01 and norm == pytest.approx(float(optax.tree.norm(gradient)))
    clipped, reported = change(optax.clip_by_global_norm(0.01))
    assert float(optax.tree.norm(clipped)) == pytest.approx(0.01)
    assert reported == pytest.approx(norm)  # before clipping
    clipped, _ = change(optax.clip(1e-3))
    assert_equal(clipped, jax.tree.map(lambda g: jnp.clip(g, -1e-3, 1e-3), gradient), atol=1e-12)


def test_adam_clips_what_it_is_told_to():
    gradient = {"w": jnp.array([300.0, -4.0])}

    def first_moment(optimizer):
        _, state = optimizer.update(gradient, optimizer.init(gradient))
        return optax.tree.get(state, "mu")["w"] * 10  # Adam keeps a tenth of the first gradient

    np.testing.assert_allclose(first_moment(adam(clip=optax.clip(1.0))), [1.0, -1.0])
    np.testing.assert_allclose(first_moment(adam(clip=optax.identity())), [300.0, -4.0])
    np.testing.assert_allclose(np.linalg.norm(first_moment(adam())), 1.0)


def test_donation_survives_leaves_that_share_a_buffer(key):
    """Donating one buffer twice is an error, and donating an argument would destroy it."""
    shared = jnp.arange(3.0)

    def quadratic(params, carry, x):
        first, second = carry
        return jnp.sum((params["a"] + params["b"] - x) ** 2), (second, second)

    train_step = make_train_step(quadratic, optax.sgd(0.1))
    state = init_state({"a": shared, "b": shared}, optax.sgd(0.1), (shared, shared))
    for _ in range(3):
        state, _ = train_step(state, 1.0)
        pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
        assert len(set(pointers)) == len(pointers)
    state, _ = train_step(restart(state, (shared, shared)), 1.0)
    np.testing.assert_array_equal(shared, [0, 1, 2])


def test_the_old_state_is_donated(key, windows):
    optimizer = adam()
    state = initial(key, optimizer)
    make_train_step(loss_fn, optimizer)(state, (windows.inputs[0], windows.targets[0]))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_an_ensemble_trains_in_one_call(key, windows):
    """`vmap` over seeds equals training each seed by itself."""
    optimizer = adam(1e-2)
    keys = jax.random.split(key, 3)
    update = make_update(loss_fn, optimizer)
    ensemble = jax.vmap(lambda key: initial(key, optimizer))(keys)
    together = jax.jit(jax.vmap(update, in_axes=(0, None)))
    alone = jax.jit(update)
    singles = [initial(key, optimizer) for key in keys]
    for batch in list(zip(*windows, strict=True))[:3]:
        ensemble, metrics = together(ensemble, batch)
        singles = [alone(single, batch)[0] for single in singles]
    assert metrics.loss.shape == (3,)
    assert len(set(np.asarray(metrics.loss).tolist())) == 3
    assert_equal(
        ensemble, jax.tree.map(lambda *leaves: jnp.stack(leaves), *singles), rtol=1e-9, atol=1e-12
    )
