"""What a cell makes of every token, looked up: the network that multiplies vectors, and faster."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from comparison import assert_close
from jax.test_util import check_grads
from looked_up import (
    LENGTH,
    ROWS,
    TOKENS,
    WIDTH,
    embedded,
    looks_up,
    multiplied,
    pulled,
    some_tokens,
)
from tables import label

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, scan, spread
from jaxrnn.networks import Stack
from jaxrnn.wrappers import TokenCell

CELLS = [
    jaxrnn.Elman(WIDTH, 6),
    jaxrnn.LSTM(WIDTH, 6),
    jaxrnn.GRU(WIDTH, 6),
    jaxrnn.ResetBeforeGRU(WIDTH, 6),
    jaxrnn.ProjectedLSTM(WIDTH, 6, 4),
    jaxrnn.LSTM(WIDTH, 6, use_bias=False),
]
LAYERS = [
    *CELLS,
    jaxrnn.bidirectional(jaxrnn.LSTM(WIDTH, 6)),
    jaxrnn.reverse(jaxrnn.GRU(WIDTH, 6)),
    jaxrnn.learned_carry(jaxrnn.LSTM(WIDTH, 6)),
    jaxrnn.SplitBias(jaxrnn.GRU(WIDTH, 6)),
    jaxrnn.WeightDrop(jaxrnn.LSTM(WIDTH, 6), 0.3),
    jaxrnn.WeightDrop(jaxrnn.bidirectional(jaxrnn.LSTM(WIDTH, 6)), 0.3),
    jaxrnn.WeightDrop(jaxrnn.learned_carry(jaxrnn.GRU(WIDTH, 6)), 0.3),
]
OPTIONS = {
    "plain": {},
    "lengths": {"lengths": jnp.array([LENGTH, 5, 0])},
    "resets": {"resets": jax.random.bernoulli(jax.random.key(3), 0.2, (LENGTH, ROWS))},
    "noise": {"key": jax.random.key(4)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("layer", LAYERS, ids=label)
def test_it_is_the_network_that_multiplies(layer, options):
    network = embedded(layer)
    params = network.init(jax.random.key(0))
    assert looks_up(network)
    assert_close(
        pulled(network, params, automatic, **options), pulled(network, params, scan, **options)
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_one_hot_vectors_are_rows_of_the_kernel(options):
    network = jaxrnn.stack(jaxrnn.OneHot(TOKENS), jaxrnn.LSTM(TOKENS, 4), jaxrnn.GRU(4, 3))
    params = network.init(jax.random.key(0))
    assert looks_up(network)
    assert_close(
        pulled(network, params, automatic, **options), pulled(network, params, scan, **options)
    )


@pytest.mark.parametrize("noise", [False, True])
def test_dropout_without_noise_is_passed_over(noise):
    network = jaxrnn.stack(
        jaxrnn.Embedding(TOKENS, WIDTH), jaxrnn.Dropout(WIDTH, 0.5), jaxrnn.LSTM(WIDTH, 4)
    )
    params = network.init(jax.random.key(0))
    assert (network.looking_up(params, noise=noise)[0] == network) == noise
    options = {"key": jax.random.key(4)} if noise else {}
    assert_close(
        pulled(network, params, automatic, **options), pulled(network, params, scan, **options)
    )


def test_a_cell_of_your_own_is_looked_up_too():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Integrator(jaxrnn.Cell):
        input_size: int

        def init(self, key):
            return {"w": jax.random.normal(key, (self.input_size, 2)), "shared": jnp.ones(2)}

        def initial_carry(self, batch_shape=()):
            return jnp.zeros((*batch_shape, 2))

        def project(self, params, xs):
            drives = xs @ params["w"]
            return drives * jnp.broadcast_to(params["shared"], drives.shape)

        def step(self, params, carry, drive):
            h = jnp.tanh(jnp.broadcast_to(params["shared"], carry.shape) * carry + drive)
            return h, h

    network = embedded(Integrator(WIDTH))
    params = network.init(jax.random.key(0))
    assert looks_up(network)
    assert_close(pulled(network, params, automatic), pulled(network, params, scan))


@pytest.mark.parametrize("cell", CELLS, ids=label)
def test_all_transformations_to_second_order(cell):
    network = embedded(cell)
    params = network.init(jax.random.key(0))

    def loss(params):
        return jaxrnn.unroll(network, params, some_tokens())[1].sum()

    check_grads(loss, (params,), order=2, modes=["fwd", "rev"])


def test_it_maps_over_parameters():
    network = embedded(jaxrnn.GRU(WIDTH, 6))
    keys = jax.random.split(jax.random.key(0), 3)
    members = jax.vmap(network.init)(keys)

    def gradient(params):
        return pulled(network, params, automatic)

    each = [gradient(network.init(key)) for key in keys]
    assert_close(
        jax.vmap(gradient)(members), jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    )


@pytest.mark.parametrize("name", ["checkpointed", "spread"])
def test_within_segments_and_on_devices(name):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    fold = {"checkpointed": checkpointed(5), "spread": spread(mesh)}[name]
    network = embedded(jaxrnn.LSTM(WIDTH, 6))
    params = network.init(jax.random.key(0))
    for options in OPTIONS.values():
        got = pulled(network, params, fold, **options)
        assert_close(got, pulled(network, params, scan, **options))


@pytest.mark.parametrize("layer", [CELLS[1], jaxrnn.bidirectional(CELLS[2])], ids=label)
def test_history_is_that_of_the_cell(layer):
    network = embedded(layer)
    params = network.init(jax.random.key(0))
    got = jaxrnn.unroll_history(network, params, some_tokens())
    assert_close(got, jaxrnn.unroll_history(network, params, some_tokens(), fold=scan))


def test_a_single_row_reads_both_ways_in_one_loop():
    network = embedded(jaxrnn.bidirectional(jaxrnn.LSTM(WIDTH, 6)))
    params, tokens = network.init(jax.random.key(0)), some_tokens()[:, 0]
    assert_close(
        jaxrnn.unroll(network, params, tokens), jaxrnn.unroll(network, params, tokens, fold=scan)
    )


def test_in_bfloat16_as_well():
    network = jaxrnn.MixedPrecision(embedded(jaxrnn.LSTM(WIDTH, 6)))
    params = jaxrnn.cell.cast(network.init(jax.random.key(0)), "float32")
    tokens = some_tokens()
    carry, ys = jaxrnn.unroll(network, params, tokens)
    other, same = jaxrnn.unroll(network, params, tokens, fold=multiplied)
    assert ys.dtype == same.dtype == jnp.float32
    assert carry.layers[1].c.dtype == other.layers[1].c.dtype
    assert jnp.allclose(ys, same, atol=0.02)


@pytest.mark.parametrize(
    ("first", "width"), [(jaxrnn.Embedding(TOKENS, WIDTH), WIDTH), (jaxrnn.OneHot(TOKENS), TOKENS)]
)
def test_ids_outside_read_what_they_read_before(first, width):
    """Of an embedding NaN, of unit vectors the zero vector; and their gradients are no NaN."""
    network = jaxrnn.stack(first, jaxrnn.GRU(width, 4))
    params = network.init(jax.random.key(0))
    tokens = some_tokens().at[3, 1].set(-1).at[4, 2].set(TOKENS)

    def run(fold):
        def loss(params, tokens):
            ys = jaxrnn.unroll(network, params, tokens, fold=fold)[1]
            return jnp.where(jnp.isnan(ys), 0, ys).sum(), ys

        # Compiled, so that the ids cannot be seen.
        return jax.jit(jax.grad(loss, has_aux=True))(params, tokens)

    (got, ys), (expected, same) = run(automatic), run(scan)
    assert (jnp.isnan(ys) == jnp.isnan(same)).all()
    assert jnp.isnan(ys).any() == isinstance(first, jaxrnn.Embedding)
    assert jnp.allclose(ys, same, equal_nan=True, atol=1e-12)
    if isinstance(first, jaxrnn.OneHot):
        assert_close(got, expected)


def test_narrow_ids_are_enough():
    network = jaxrnn.stack(jaxrnn.OneHot(256), jaxrnn.GRU(256, 4))
    params = network.init(jax.random.key(0))
    tokens = jax.random.randint(jax.random.key(1), (50, 8), 0, 256)
    got = jaxrnn.unroll(network, params, tokens.astype(jnp.uint8))
    assert_close(got, jaxrnn.unroll(network, params, tokens, fold=scan))


def products(network, tokens, fold):
    """Floating-point operations of a gradient, by XLA's own account."""
    params = network.init(jax.random.key(0))

    def loss(params):
        return jaxrnn.unroll(network, params, tokens, fold=fold)[1].sum()

    return jax.jit(jax.grad(loss)).lower(params).compile().cost_analysis()["flops"]


def test_what_is_looked_up_is_not_multiplied():
    """Half of the products of one layer are those of its inputs."""
    network = jaxrnn.stack(jaxrnn.Embedding(4, 64), jaxrnn.LSTM(64, 64))
    tokens = jnp.zeros((16, 16), int)  # loops count once: as many rows as instants
    assert products(network, tokens, automatic) < 0.7 * products(network, tokens, multiplied)


def test_short_sequences_do_not_read_the_whole_vocabulary():
    network = jaxrnn.stack(jaxrnn.Embedding(1000, 8), jaxrnn.LSTM(8, 8))
    tokens = jnp.zeros((10, 4), int)
    assert products(network, tokens, automatic) == products(network, tokens, multiplied)


def test_other_folds_see_the_cell_itself():
    seen = []

    def fold(cell, params, carry, xs):
        seen.append(cell)
        return bptt(cell, params, carry, xs)

    network = embedded(CELLS[1])
    jaxrnn.unroll(network, network.init(jax.random.key(0)), some_tokens(), fold=fold)
    assert seen == [CELLS[1]]


def test_it_takes_one_instant_and_begins_as_the_cell_does():
    cell = TokenCell(jaxrnn.LSTM(WIDTH, 6), TOKENS)
    params = cell.init(jax.random.key(0))
    assert (cell.input_size, cell.output_size, cell.takes_tokens) == (TOKENS, 6, True)
    carry, y = cell(params, cell.start(params, (2,)), jnp.array([1, 2]))
    assert y.shape == carry.h.shape == (2, 6)
    assert cell.initial_carry((2,)).c.shape == (2, 6)
    assert "LSTM(" in repr(cell)


def test_a_stack_taken_apart_by_hand():
    """As sampling does: the same carry, the same outputs, instant by instant."""
    network = embedded(jaxrnn.LSTM(WIDTH, 6))
    params = network.init(jax.random.key(0))
    reader, own = network.looking_up(params)
    assert isinstance(reader, Stack)
    carry, tokens = network.start(params, (ROWS,)), some_tokens()
    for token in tokens[:3]:
        expected = network(params, carry, token)
        assert_close(reader(own, carry, token), expected)
        carry = expected[0]
    assert reader.looking_up(own) == (reader, own)
