"""What JAX can do to a function, it can do to every network, lengths and resets inside."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparison import assert_close, random_like, random_point
from rows import NETWORKS, QUICKLY, ROWS, TIME
from tables import label

import jaxrnn
from jaxrnn.folds import bptt, scan
from jaxrnn.training import adam, cross_entropy, init_state, make_train_step

SHAPES = {
    name: NETWORKS[name]
    for name in ("stack", "bidirectional_stack", "learned_carry", "residual", "zoneout")
} | {
    "language model": jaxrnn.stack(
        jaxrnn.Embedding(5, 3),
        jaxrnn.LSTM(3, 4),
        jaxrnn.residual(jaxrnn.GRU(4, 4)),
        jaxrnn.Linear(4, 5),
    )
}
every_shape = pytest.mark.parametrize("layer", SHAPES.values(), ids=SHAPES)

LENGTHS = np.array([2, 0, 4])
RESETS = np.random.default_rng(0).random((TIME, ROWS)) < 0.3
CONTEXT = {"lengths": LENGTHS, "resets": RESETS}

quickly = functools.partial(jax.jit, compiler_options=QUICKLY)


def loss_of(layer, fold=scan, target=0.3):
    """A scalar that every output and every part of the last carry has a hand in."""

    def loss(params, xs, lengths=LENGTHS, resets=RESETS):
        carry, ys = jaxrnn.unroll(layer, params, xs, lengths=lengths, resets=resets, fold=fold)
        return sum(jnp.sum(jnp.square(leaf - target)) for leaf in jax.tree.leaves((carry, ys)))

    return loss


def point_of(layer, seed=0):
    return random_point(layer, seed, time=TIME, batch=(ROWS,))


@every_shape
def test_ensembles_by_vmap_over_parameters(layer):
    point = point_of(layer)
    members = [random_like(point.params, seed, 0.5) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    gradient = jax.value_and_grad(loss_of(layer, bptt))
    together = quickly(jax.vmap(gradient, in_axes=(0, None)))(stacked, point.xs)
    one = quickly(gradient)
    for number, member in enumerate(members):
        own = jax.tree.map(lambda leaf, n=number: leaf[n], together)
        assert_close(own, one(member, point.xs))


@every_shape
def test_gradients_per_example_by_vmap_of_grad(layer):
    point = point_of(layer)
    gradient = jax.grad(loss_of(layer, bptt))
    per_row = quickly(jax.vmap(gradient, in_axes=(None, 1, 0, 1)))(
        point.params, point.xs, jnp.asarray(LENGTHS), jnp.asarray(RESETS)
    )
    whole = quickly(gradient)(point.params, point.xs)
    assert_close(jax.tree.map(lambda leaf: leaf.sum(axis=0), per_row), whole)
    alone = quickly(gradient)(point.params, point.xs[:, 2], LENGTHS[2], RESETS[:, 2])
    assert_close(jax.tree.map(lambda leaf: leaf[2], per_row), alone)


@every_shape
def test_forward_mode_is_the_difference_quotient_and_the_reverse_mode(layer):
    point = point_of(layer)
    direction = random_like(point.params, seed=5)

    @quickly
    def forward_and_reverse(params):
        by_hand, loss = (functools.partial(loss_of(layer, f), xs=point.xs) for f in (bptt, scan))
        _, slope = jax.jvp(by_hand, (params,), (direction,))
        products = jax.tree.map(jnp.vdot, jax.grad(loss)(params), direction)
        step = 1e-5
        up, down = (
            loss(jax.tree.map(lambda p, d, s=sign * step: p + s * d, params, direction))
            for sign in (1, -1)
        )
        return slope, sum(jax.tree.leaves(products)), (up - down) / (2 * step)

    slope, reverse, quotient = forward_and_reverse(point.params)
    assert_close(slope, reverse)
    np.testing.assert_allclose(slope, quotient, rtol=1e-6)


@every_shape
def test_hessian_vector_products_either_way_and_through_bptt(layer):
    point = point_of(layer)
    direction = random_like(point.params, seed=6)

    def forward_over_reverse(params):
        gradient = jax.grad(functools.partial(loss_of(layer), xs=point.xs))
        return jax.jvp(gradient, (params,), (direction,))[1]

    def reverse_over_reverse(params):
        def slope(params):
            gradient = jax.grad(loss_of(layer, bptt))(params, point.xs)
            return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))

        return jax.grad(slope)(params)

    forward = quickly(forward_over_reverse)(point.params)
    assert_close(forward, quickly(reverse_over_reverse)(point.params))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(forward))


@every_shape
def test_a_whole_training_step_under_jit(layer):
    """Adam, by our own step and by optax's hands; the loss falls."""
    point = point_of(layer)
    optimizer = adam(1e-2)
    loss = loss_of(layer, bptt)
    train_step = make_train_step(lambda params, carry, xs: (loss(params, xs), carry), optimizer)
    state = init_state(point.params, optimizer)
    state, first = train_step(state, point.xs)

    @quickly
    def by_hand(params, xs):
        updates, _ = optimizer.update(jax.grad(loss)(params, xs), optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    assert_close(state.params, by_hand(point.params, point.xs), tolerance=1e-9)
    for _ in range(20):
        state, metrics = train_step(state, point.xs)
    assert metrics.loss < first.loss
    assert int(state.step) == 21


def test_training_steps_of_an_ensemble_are_those_of_its_members():
    layer = SHAPES["language model"]
    point = point_of(layer)
    optimizer = adam(1e-2)

    def step(params, opt_state):
        def loss(params):
            _, logits = jaxrnn.unroll(layer, params, point.xs, fold=bptt)
            return cross_entropy(logits, point.xs)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), value

    members = [random_like(point.params, seed, 0.5) for seed in (1, 2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    together = quickly(jax.vmap(step))(stacked, jax.vmap(optimizer.init)(stacked))
    for number, member in enumerate(members):
        own = jax.tree.map(lambda leaf, n=number: leaf[n], together)
        assert_close(own, quickly(step)(member, optimizer.init(member)), tolerance=1e-9)


@pytest.mark.parametrize("fold", [scan, bptt], ids=label)
def test_rematerialisation_changes_no_gradient(fold):
    layer = SHAPES["stack"]
    point = point_of(layer)
    loss = loss_of(layer, fold)
    plain, again = (
        quickly(jax.grad(f))(point.params, point.xs) for f in (loss, jax.checkpoint(loss))
    )
    assert_close(again, plain)


def test_jacobians_of_outputs_by_inputs_are_causal_and_stop_at_resets_and_padding():
    layer = jaxrnn.GRU(3, 2)
    point = random_point(layer, 1, time=5, batch=())
    resets = jnp.zeros(5, bool).at[2].set(True)

    def outputs(xs):
        return jaxrnn.unroll(layer, point.params, xs, lengths=jnp.array(4), resets=resets)[1]

    by_reverse, by_forward = jax.jacrev(outputs)(point.xs), jax.jacfwd(outputs)(point.xs)
    assert_close(by_reverse, by_forward)
    reached = np.abs(np.asarray(by_forward)).sum(axis=(1, 3)) > 0
    expected = np.array(
        [
            [1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [0, 0, 1, 0, 0],
            [0, 0, 1, 1, 0],
            [0, 0, 0, 0, 0],
        ],
        bool,
    )
    np.testing.assert_array_equal(reached, expected)
