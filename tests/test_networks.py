"""Networks are the layers by hand."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import (
    Point,
    assert_close,
    assert_same_values_and_gradients,
    leaves_differ,
    random_point,
    run,
)
from tables import Leaky, ManualLeaky

import jaxrnn
from jaxrnn.folds import bptt, scan, truncated
from jaxrnn.initializers import Normal

LSTM, GRU, ELMAN = jaxrnn.LSTM(3, 4), jaxrnn.GRU(4, 5), jaxrnn.Elman(4, 4)


def widest(forward_ys, backward_ys):
    """A merge of a user's own."""
    return jnp.maximum(forward_ys, backward_ys)


# Every network; a new one is one line.
NETWORKS = [
    jaxrnn.stack(LSTM, GRU, jaxrnn.Linear(5, 2)),
    jaxrnn.stack(jaxrnn.stack(LSTM, ELMAN), jaxrnn.stack(GRU)),
    jaxrnn.stack(jaxrnn.Linear(3, 3, use_bias=False), ManualLeaky(3)),
    jaxrnn.residual(ELMAN),
    jaxrnn.residual(jaxrnn.stack(GRU, jaxrnn.LSTM(5, 4))),
    jaxrnn.reverse(LSTM),
    jaxrnn.reverse(jaxrnn.reverse(GRU)),
    jaxrnn.bidirectional(LSTM),
    jaxrnn.bidirectional(LSTM, jaxrnn.Elman(3, 2)),
    jaxrnn.bidirectional(LSTM, jaxrnn.GRU(3, 4), merge=jaxrnn.add),
    jaxrnn.bidirectional(LSTM, merge=widest),
    jaxrnn.bidirectional(jaxrnn.stack(LSTM, GRU), jaxrnn.Linear(3, 2)),
    jaxrnn.stack(jaxrnn.bidirectional(LSTM), jaxrnn.bidirectional(jaxrnn.GRU(8, 2))),
    jaxrnn.learned_carry(LSTM, Normal(1.0)),
    jaxrnn.stack(LSTM, jaxrnn.learned_carry(jaxrnn.residual(ELMAN), Normal(1.0))),
    jaxrnn.stack(jaxrnn.Embedding(6, 3), LSTM, jaxrnn.Linear(4, 6)),
    jaxrnn.stack(jaxrnn.OneHot(3), LSTM),
    jaxrnn.stack(jaxrnn.SplitBias(LSTM), jaxrnn.SplitBias(GRU)),
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=repr)
CAUSAL = [n for n in NETWORKS if not any(word in repr(n) for word in ("Reverse", "Bidirectional"))]


def inner(layer, point, name):
    """The point of a layer inside."""
    return Point(getattr(point.params, name), getattr(point.carry, name), point.xs)


# What every network promises.


@every_network
def test_description_is_a_value(network):
    twin = pickle.loads(pickle.dumps(network))
    assert twin == network and hash(twin) == hash(network)
    assert repr(twin) == repr(network)


@every_network
def test_init_and_carries(network):
    params = network.init(jax.random.key(1))
    again = network.init(jax.random.key(1))
    specification = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(specification)
    assert all(
        (a == b).all() and a.shape == spec.shape and a.dtype == spec.dtype
        for a, b, spec in zip(*map(jax.tree.leaves, (params, again, specification)), strict=True)
    )
    for batch in [(), (2,), (2, 3)]:
        assert leaves_differ((params, network.initial_carry(batch)))
        assert leaves_differ((params, network.start(params, batch)))


@every_network
def test_output_size_and_width(network):
    point = random_point(network)
    carry, ys = run(network, point)
    assert ys.shape == (5, 2, network.output_size)
    assert jax.tree.structure(carry) == jax.tree.structure(point.carry)


@pytest.mark.parametrize("network", CAUSAL, ids=repr)
def test_instant_by_instant_is_the_whole_sequence(network):
    params, carry, xs = point = random_point(network, seed=71, time=3)
    last, ys = run(network, point)
    step = jax.jit(lambda params, carry, x: network(params, carry, x))
    for x, y in zip(xs, ys, strict=True):
        carry, got = step(params, carry, x)
        assert_close(got, y)
    assert_close(carry, last)


@every_network
def test_bptt_through_a_network_is_scan(network):
    point = random_point(network, seed=72, time=4)
    if network.takes_tokens:  # Ids have no gradient, so only the others are compared.

        def gradient(fold):
            def loss(params, carry):
                carry, ys = jaxrnn.unroll(network, params, point.xs, carry, fold=fold)
                return (ys**3).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(carry))

            return jax.jit(jax.grad(loss, (0, 1)))(point.params, point.carry)

        assert_close(gradient(bptt), gradient(scan))
    else:
        assert_same_values_and_gradients(network, point, bptt)


# Stacks.


@pytest.mark.parametrize("fold", [scan, truncated(2)], ids=["scan", "truncated"])
def test_stack_is_its_layers_by_hand(fold):
    network = jaxrnn.stack(LSTM, GRU, jaxrnn.Linear(5, 2))
    params, carry, xs = point = random_point(network, seed=73)
    last, ys = run(network, point, fold=fold)
    by_hand = xs
    for layer, own, received, want in zip(
        network.layers, params.layers, carry.layers, last.layers, strict=True
    ):
        handed_on, by_hand = run(layer, Point(own, received, by_hand), fold=fold)
        assert_close(handed_on, want)
    assert_close(ys, by_hand)


def test_stacks_inside_stacks_are_one_long_stack():
    nested = jaxrnn.stack(jaxrnn.stack(LSTM, ELMAN), jaxrnn.stack(GRU))
    flat = jaxrnn.stack(LSTM, ELMAN, GRU)
    params, carry, xs = point = random_point(nested, seed=74)
    flat_params = jaxrnn.networks.StackParams(params.layers[0].layers + params.layers[1].layers)
    flat_carry = jaxrnn.networks.StackCarry(carry.layers[0].layers + carry.layers[1].layers)
    assert_close(run(nested, point)[1], run(flat, Point(flat_params, flat_carry, xs))[1])


def test_a_users_cell_in_a_stack():
    network = jaxrnn.stack(LSTM, Leaky(4), jaxrnn.residual(Leaky(4)))
    point = random_point(network, seed=75)
    below = run(LSTM, Point(point.params.layers[0], point.carry.layers[0], point.xs))[1]
    leaky = run(Leaky(4), Point(point.params.layers[1], point.carry.layers[1], below))[1]
    above = run(Leaky(4), Point(point.params.layers[2], point.carry.layers[2], leaky))[1]
    assert_close(run(network, point)[1], leaky + above)
    with pytest.raises(TypeError, match=r"`bptt` needs a ManualCell.*Leaky\(input_size=4\)"):
        jaxrnn.unroll(network, point.params, point.xs, fold=bptt)


# Residual, reverse, bidirectional.


def test_residual_adds_what_it_read():
    network = jaxrnn.residual(ELMAN)
    point = random_point(network, seed=76)
    carry, ys = run(ELMAN, point)
    assert_close(run(network, point), (carry, point.xs + ys))


def test_reverse_is_flip_run_flip():
    network = jaxrnn.reverse(LSTM)
    point = random_point(network, seed=77)
    carry, ys = run(LSTM, point._replace(xs=point.xs[::-1]))
    assert_close(run(network, point), (carry, ys[::-1]))
    assert_close(run(network, point)[1][0], carry.h)


def test_reverse_twice_is_nothing():
    point = random_point(GRU, seed=78)
    assert_close(run(jaxrnn.reverse(jaxrnn.reverse(GRU)), point), run(GRU, point))


@pytest.mark.parametrize(
    ("backward", "merge", "join"),
    [
        (None, jaxrnn.concatenate, lambda a, b: np.concatenate([a, b], axis=-1)),
        (jaxrnn.Elman(3, 2), jaxrnn.concatenate, lambda a, b: np.concatenate([a, b], axis=-1)),
        (jaxrnn.GRU(3, 4), jaxrnn.add, lambda a, b: a + b),
        (jaxrnn.GRU(3, 4), widest, np.maximum),
    ],
    ids=["alike", "other cell and width", "add", "own merge"],
)
def test_bidirectional_is_two_runs(backward, merge, join):
    network = jaxrnn.bidirectional(LSTM, backward, merge=merge)
    point = random_point(network, seed=79)
    forward_carry, forward_ys = run(LSTM, inner(network, point, "forward"))
    backward_carry, backward_ys = run(
        backward or LSTM, inner(network, point, "backward")._replace(xs=point.xs[::-1])
    )
    carry, ys = run(network, point)
    assert_close(carry.forward, forward_carry)
    assert_close(carry.backward, backward_carry)
    assert_close(ys, jnp.asarray(join(np.asarray(forward_ys), np.asarray(backward_ys)[::-1])))


def test_directions_have_parameters_of_their_own():
    params = jaxrnn.bidirectional(LSTM).init(jax.random.key(0))
    assert (params.forward.recurrent_kernel != params.backward.recurrent_kernel).any()


# Learned carry.


def test_learned_carry_is_where_sequences_begin():
    network = jaxrnn.learned_carry(LSTM, Normal(1.0))
    params = network.init(jax.random.key(2))
    assert params.start.h.shape == (4,) and params.start.h.any() and params.start.c.any()
    xs = random_point(LSTM, seed=80, batch=(2, 3)).xs
    carry, ys = jaxrnn.unroll(network, params, xs)
    rows = jax.tree.map(lambda s: np.broadcast_to(s, (2, 3, 4)), params.start)
    assert_close((carry, ys), run(LSTM, Point(params.layer, rows, xs)))
    # A carry that is handed in takes its place.
    zeros = LSTM.initial_carry((2, 3))
    assert_close(
        jaxrnn.unroll(network, params, xs, zeros), run(LSTM, Point(params.layer, zeros, xs))
    )


def test_learned_carry_begins_at_zero_by_default():
    params = jaxrnn.learned_carry(LSTM).init(jax.random.key(0))
    assert not any(leaf.any() for leaf in jax.tree.leaves(params.start))


@pytest.mark.parametrize("fold", [scan, bptt, truncated(9)], ids=["scan", "bptt", "truncated"])
def test_gradient_of_a_learned_carry_is_the_sum_over_rows(fold):
    network = jaxrnn.learned_carry(LSTM, Normal(1.0))
    params = network.init(jax.random.key(3))
    point = random_point(LSTM, seed=81, batch=(3,))
    probe = random_point(LSTM, seed=82, batch=(3,)).carry.h

    def loss(params, carry):
        carry, _ = jaxrnn.unroll(network, params, point.xs, carry, fold=fold)
        return (carry.h * probe).sum()

    learned = jax.grad(loss)(params, None).start
    by_row = jax.grad(loss, 1)(params, network.start(params, (3,)))
    assert_close(learned, jax.tree.map(lambda d: d.sum(0), by_row))
    assert learned.c.any()


# Axes, instants, tokens.


@pytest.mark.parametrize("time_axis", [0, 1, 2, -2, -3, -4])
def test_time_may_stand_on_any_axis(time_axis):
    network = jaxrnn.stack(LSTM, GRU)
    point = random_point(network, seed=83, time=5, batch=(2, 3))
    carry, ys = run(network, point)
    moved = jnp.moveaxis(point.xs, 0, time_axis)
    got = jaxrnn.unroll(network, point.params, moved, point.carry, time_axis=time_axis)
    assert_close(got, (carry, jnp.moveaxis(ys, 0, time_axis)))


@pytest.mark.parametrize("time_axis", [0, 1, -1])
def test_time_axis_of_tokens(time_axis):
    network = jaxrnn.stack(jaxrnn.Embedding(6, 3), LSTM)
    params, _, xs = random_point(network, seed=84)
    _, ys = jaxrnn.unroll(network, params, xs)
    _, moved = jaxrnn.unroll(network, params, jnp.moveaxis(xs, 0, time_axis), time_axis=time_axis)
    # Tokens have no axis of features, so -1 is another axis of xs than of ys.
    assert_close(moved, jnp.moveaxis(ys, 0, 1 if time_axis == -1 else time_axis))


@every_network
def test_no_instants(network):
    point = random_point(network, time=0)
    carry, ys = run(network, point)
    assert ys.shape == (0, 2, network.output_size)
    assert_close(carry, point.carry, tolerance=0)


def test_linear_is_an_affine_map_on_the_last_axis():
    layer = jaxrnn.Linear(3, 4)
    params, _, xs = random_point(layer, seed=85, batch=(2, 3))
    expected = np.asarray(xs) @ np.asarray(params.kernel) + np.asarray(params.bias)
    assert_close(jaxrnn.unroll(layer, params, xs), ((), expected))
    plain = jaxrnn.Linear(3, 4, use_bias=False)
    got = jaxrnn.unroll(plain, params._replace(bias=None), xs)[1]
    assert_close(got, np.asarray(xs) @ np.asarray(params.kernel))


def test_embedding_reads_rows_and_one_hot_is_the_identity():
    ids = np.array([[3, 0], [1, 1], [2, 3]])
    embedding = jaxrnn.Embedding(4, 5)
    params = random_point(embedding, seed=86).params
    assert_close(jaxrnn.unroll(embedding, params, ids)[1], np.asarray(params.table)[ids])
    assert_close(jaxrnn.unroll(jaxrnn.OneHot(4), (), ids)[1], np.eye(4)[ids])
    # One-hot vectors times a kernel are rows of the kernel.
    both = jaxrnn.stack(jaxrnn.OneHot(4), jaxrnn.Linear(4, 5, use_bias=False))
    own = jaxrnn.networks.StackParams(
        ((), jaxrnn.networks.LinearParams(kernel=params.table, bias=None))
    )
    assert_close(jaxrnn.unroll(both, own, ids)[1], np.asarray(params.table)[ids])


def test_gradient_of_an_embedding_counts_every_use():
    ids = np.array([[3, 0], [1, 1], [2, 1]])
    embedding = jaxrnn.Embedding(5, 2)
    params = random_point(embedding, seed=87).params
    probe = np.random.default_rng(88).normal(size=(3, 2, 2))
    gradient = jax.grad(lambda p: (jaxrnn.unroll(embedding, p, ids)[1] * probe).sum())(params)
    expected = np.zeros((5, 2))
    np.add.at(expected, ids, probe)
    assert_close(gradient.table, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", None])
def test_dtype_of_one_hot(dtype):
    expected = jnp.dtype(dtype or "float64")
    assert jaxrnn.unroll(jaxrnn.OneHot(3, dtype=dtype), (), np.array([0, 2]))[1].dtype == expected


def test_dtype_in_is_dtype_out_for_a_network():
    network = jaxrnn.stack(
        jaxrnn.bidirectional(LSTM, merge=jaxrnn.add),
        jaxrnn.learned_carry(jaxrnn.residual(ELMAN)),
        jaxrnn.Linear(4, 2),
    )
    for dtype in (jnp.bfloat16, jnp.float32):
        point = random_point(network, dtype=dtype)
        carry, ys = jaxrnn.unroll(network, point.params, point.xs)
        assert {leaf.dtype for leaf in jax.tree.leaves((carry, ys))} == {jnp.dtype(dtype)}


def test_a_network_may_be_vmapped_over_its_parameters():
    network = jaxrnn.stack(jaxrnn.Embedding(6, 3), LSTM, jaxrnn.Linear(4, 6))
    keys = jax.random.split(jax.random.key(4), 3)
    xs = random_point(network, seed=89).xs
    ensemble = jax.vmap(network.init)(keys)
    _, ys = jax.vmap(lambda params: jaxrnn.unroll(network, params, xs))(ensemble)
    for member, key in enumerate(keys):
        assert_close(ys[member], jaxrnn.unroll(network, network.init(key), xs)[1])


def test_donated_parameters_and_carry():
    """A train state may hold all of a network's arrays and be donated."""
    network = jaxrnn.stack(jaxrnn.learned_carry(LSTM, Normal(1.0)), GRU)
    params = network.init(jax.random.key(5))
    carry = network.start(params, (2,))
    xs = random_point(LSTM, seed=90).xs

    def step(params, carry, xs):
        carry, ys = jaxrnn.unroll(network, params, xs, carry)
        return jax.tree.map(lambda p: p * ys.mean(), params), carry

    new_params, new_carry = jax.jit(step, donate_argnums=(0, 1))(params, carry, xs)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((params, carry)))
    assert jax.tree.structure(new_params) == jax.tree.structure(params)
    assert np.isfinite(new_carry.layers[1].h).all()


def test_one_instant_takes_numpy_parameters_and_observations():
    with jax.enable_x64(False):  # Where NumPy's numbers are wider than JAX's.
        network = jaxrnn.stack(jaxrnn.Embedding(7, 3), jaxrnn.GRU(3, 4))
        params = jax.device_get(network.init(jax.random.key(0)))
        assert network(params, network.start(params), np.array(1))[1].shape == (4,)
        cell = jaxrnn.LSTM(3, 4)
        for layer in (cell, jaxrnn.stack(jaxrnn.Linear(3, 3), cell)):
            params = layer.init(jax.random.key(0))
            for x in (np.zeros(3), [0.0, 0.0, 0.0]):
                assert layer(params, layer.start(params), x)[1].dtype == jnp.float32
