"""Noise as functions of a key: none without one, and with one the equations of the papers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from comparison import assert_close, pull, random_like, random_point
from oracles.loop import gates, sigmoid
from rows import QUICKLY
from tables import label

import jaxrnn
from jaxrnn.folds import bptt, scan, truncated

TIME, ROWS = 5, 3
KEY = jax.random.key(3)

LSTM, GRU = jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4)

# Everything that draws noise.
NOISY = {
    "Dropout": jaxrnn.stack(LSTM, jaxrnn.Dropout(4, 0.5), jaxrnn.Linear(4, 2)),
    "VariationalDropout": jaxrnn.stack(jaxrnn.VariationalDropout(3, 0.5), GRU),
    "StateDropout": jaxrnn.StateDropout(LSTM, 0.5),
    "UpdateDropout": jaxrnn.UpdateDropout(LSTM, 0.5),
    "UpdateDropout per step": jaxrnn.UpdateDropout(GRU, 0.5, per_step=True),
    "Zoneout": jaxrnn.Zoneout(LSTM, hidden_rate=0.3, cell_rate=0.5),
    "WeightDrop": jaxrnn.WeightDrop(LSTM, 0.5),
    "all at once": jaxrnn.WeightDrop(
        jaxrnn.bidirectional(
            jaxrnn.Zoneout(jaxrnn.StateDropout(GRU, 0.2), 0.2),
            jaxrnn.Zoneout(jaxrnn.UpdateDropout(LSTM, 0.2), 0.2, 0.2),
        ),
        0.2,
    ),
}
every_noise = pytest.mark.parametrize("layer", NOISY.values(), ids=NOISY)


@functools.partial(jax.jit, static_argnames=("layer", "fold"), compiler_options=QUICKLY)
def run(layer, point, key=None, fold=scan):
    return jaxrnn.unroll(layer, point.params, point.xs, point.carry, key=key, fold=fold)


@functools.partial(jax.jit, static_argnames="layer", compiler_options=QUICKLY)
def draws_of(layer, point, keys):
    def draw(key):
        return jaxrnn.unroll(layer, point.params, point.xs, point.carry, key=key)

    return jax.vmap(draw)(keys)


def point_of(layer, seed=0, time=TIME, batch=(ROWS,)):
    return random_point(layer, seed, time=time, batch=batch)


# Keys.


@pytest.mark.parametrize("name", ["StateDropout", "UpdateDropout", "WeightDrop"])
def test_no_key_no_noise_around_a_cell(name):
    point = point_of(LSTM)
    assert_close(run(NOISY[name], point), run(LSTM, point))


@pytest.mark.parametrize("dropout", [jaxrnn.Dropout(3, 0.5), jaxrnn.VariationalDropout(3, 0.5)])
def test_no_key_no_noise_between_layers(dropout):
    network = jaxrnn.stack(dropout, GRU)
    point = point_of(network)
    carry, ys = run(network, point)
    inner = point._replace(params=point.params.layers[1], carry=point.carry.layers[1])
    assert_close((carry.layers[1], ys), run(GRU, inner))


@every_noise
def test_the_key_decides(layer):
    point = point_of(layer)
    first, again = (np.asarray(run(layer, point, KEY)[1]) for _ in range(2))
    other = np.asarray(run(layer, point, jax.random.key(4))[1])
    none = np.asarray(run(layer, point)[1])
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first != none).any() and (other != none).any()


def rates(layer, rate):
    """The layer with every rate replaced."""
    names = {"rate", "hidden_rate", "cell_rate"}
    changes = {name: rate for name in vars(layer) if name in names}
    for name, value in vars(layer).items():
        if isinstance(value, jaxrnn.Layer):
            changes[name] = rates(value, rate)
        if name == "layers":
            changes[name] = tuple(rates(inner, rate) for inner in value)
    return type(layer)(**(vars(layer) | changes))


@every_noise
def test_rate_zero_is_no_noise(layer):
    point = point_of(layer)
    quiet = rates(layer, 0.0)
    assert_close(run(quiet, point, KEY), run(quiet, point))


def test_rate_one_drops_everything():
    point = point_of(LSTM)
    params, carry = point.params, point.carry
    for dropout in (jaxrnn.Dropout(3, 1.0), jaxrnn.VariationalDropout(3, 1)):
        assert (jaxrnn.unroll(dropout, (), point.xs, key=KEY)[1] == 0).all()

    # Without h, every instant is a map of its own input and of c.
    without_h = jaxrnn.StateDropout(LSTM, 1.0)
    without_r = params._replace(recurrent_kernel=0 * params.recurrent_kernel)
    expected = run(LSTM, point._replace(params=without_r))
    assert_close(run(without_h, point, KEY), expected)
    assert_close(run(jaxrnn.WeightDrop(LSTM, 1.0), point, KEY), expected)

    # Without new content, c only fades; with all units zoned out, nothing ever changes.
    faded, _ = run(jaxrnn.UpdateDropout(LSTM, 1.0), point, KEY)
    history, _ = jaxrnn.unroll_history(
        jaxrnn.UpdateDropout(LSTM, 1.0), params, point.xs, carry, key=KEY
    )
    assert_close(faded.c, carry.c * jnp.prod(history.gates.f, axis=0))
    frozen, ys = run(jaxrnn.Zoneout(LSTM, 1.0, 1.0), point, KEY)
    assert_close((frozen, ys), (carry, jnp.broadcast_to(carry.h, (TIME, ROWS, 4))))
    frozen, ys = run(jaxrnn.Zoneout(LSTM, 1.0, 1.0), point)
    assert_close((frozen, ys), (carry, jnp.broadcast_to(carry.h, (TIME, ROWS, 4))))


# Masks. A layer of ones shows them.


def mask_of(dropout, time=200, rows=16, key=KEY):
    return np.asarray(
        jaxrnn.unroll(dropout, (), jnp.ones((time, rows, dropout.input_size)), key=key)[1]
    )


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_is_fresh_at_every_instant_and_scaled(rate):
    mask = mask_of(jaxrnn.Dropout(8, rate))
    kept = mask != 0
    np.testing.assert_allclose(mask[kept], 1 / (1 - rate), rtol=1e-15)
    assert_bernoulli(kept, 1 - rate)
    assert_independent(kept[1:], kept[:-1], rate)
    assert_independent(kept[:, 1:], kept[:, :-1], rate)
    assert_independent(kept[..., 1:], kept[..., :-1], rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_variational_dropout_is_one_mask_per_sequence_and_fresh_per_row(rate):
    mask = mask_of(jaxrnn.VariationalDropout(16, rate), time=3, rows=2000)
    assert (mask == mask[:1]).all()
    kept = mask[0] != 0
    np.testing.assert_allclose(mask[0][kept], 1 / (1 - rate), rtol=1e-15)
    assert_bernoulli(kept, 1 - rate)
    assert_independent(kept[1:], kept[:-1], rate)
    assert_independent(kept[:, 1:], kept[:, :-1], rate)


def assert_bernoulli(kept, probability):
    """Within five standard errors of a fair count."""
    error = np.sqrt(probability * (1 - probability) / kept.size)
    assert abs(kept.mean() - probability) < 5 * error


def assert_independent(one, other, rate):
    """Uncorrelated, within five standard errors."""
    correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(one.size)


def test_layers_and_directions_draw_their_own():
    def zeros(layer):
        """Where ones do not come through; what comes through is positive."""
        return np.asarray(jaxrnn.unroll(layer, layer.init(KEY), ones, key=KEY)[1] == 0)

    ones = jnp.ones((50, 40, 4))
    one = jaxrnn.Dropout(4, 0.5)
    both = zeros(jaxrnn.bidirectional(one))
    forward, backward = both[..., :4], both[..., 4:]
    assert_independent(forward, backward, 0.5)
    assert_independent(forward, backward[::-1], 0.5)
    # Two in a row keep a quarter if they are independent, and half if they are the same.
    twice = zeros(jaxrnn.stack(one, one))
    assert_bernoulli(~twice, 0.25)
    assert_bernoulli(~zeros(jaxrnn.stack(jaxrnn.stack(one, one), jaxrnn.stack(one))), 0.125)
    # And the same noise does not come back in a deeper stack.
    assert_independent(zeros(jaxrnn.stack(one)), zeros(jaxrnn.stack(jaxrnn.stack(one))), 0.5)


def test_nested_wrappers_draw_their_own():
    """Were the noise shared, the units that keep h would be those that keep c."""
    cell = jaxrnn.Zoneout(jaxrnn.LSTM(3, 64), 0.5, 0.5)
    point = point_of(cell, time=1, batch=(50,))
    carry, _ = run(cell, point, KEY)
    kept_h = np.asarray(carry.h == point.carry.h)
    kept_c = np.asarray(carry.c == point.carry.c)
    assert_bernoulli(kept_h, 0.5)
    assert_bernoulli(kept_c, 0.5)
    assert_independent(kept_h, kept_c, 0.5)


def test_dropout_is_under_vmap_fresh_per_key():
    layer = jaxrnn.Dropout(4, 0.5)
    keys = jax.random.split(KEY, 100)
    masks = jax.vmap(lambda key: jaxrnn.unroll(layer, (), jnp.ones((5, 4)), key=key)[1])(keys)
    kept = np.asarray(masks != 0)
    assert_independent(kept[1:], kept[:-1], 0.5)


# The equations, with the masks that the layer draws, in a NumPy loop.


def as_numpy(point):
    return jax.tree.map(np.asarray, point)


def extras_of(cell, point):
    own_key, _ = jax.random.split(KEY)
    return jax.tree.map(np.asarray, cell.extras(own_key, point.xs, point.carry))


@pytest.mark.parametrize(("inner", "oracle"), [(LSTM, oracles.lstm), (GRU, oracles.gru)], ids=label)
def test_state_dropout_equations(inner, oracle):
    cell = jaxrnn.StateDropout(inner, 0.4)
    point = as_numpy(point_of(cell))
    mask = extras_of(cell, point)
    assert (mask == mask[:1]).all() and set(np.unique(mask)) == {0, 1 / 0.6}
    carry, ys = point.carry, []
    for x in point.xs:
        carry, y = oracle(point.params, carry._replace(h=carry.h * mask[0]), x)
        ys.append(y)
    assert_close(run(cell, point, KEY), (carry, np.stack(ys)))


@pytest.mark.parametrize("per_step", [False, True])
def test_update_dropout_equations_of_lstm(per_step):
    cell = jaxrnn.UpdateDropout(LSTM, 0.4, per_step=per_step)
    point = as_numpy(point_of(cell))
    masks = extras_of(cell, point)
    assert (masks == masks[:1]).all() != per_step
    params, (h, c) = point.params, point.carry
    ys = []
    for x, m in zip(point.xs, masks, strict=True):
        i, f, g, o = gates(x @ params.input_kernel + h @ params.recurrent_kernel + params.bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * (m * np.tanh(g))
        h = sigmoid(o) * np.tanh(c)
        ys.append(h)
    assert_close(run(cell, point, KEY), (jaxrnn.LSTMCarry(h, c), np.stack(ys)))


@pytest.mark.parametrize("per_step", [False, True])
def test_update_dropout_equations_of_gru(per_step):
    cell = jaxrnn.UpdateDropout(GRU, 0.4, per_step=per_step)
    point = as_numpy(point_of(cell))
    masks = extras_of(cell, point)
    assert (masks == masks[:1]).all() != per_step
    params, (h,) = point.params, point.carry
    ys = []
    for x, m in zip(point.xs, masks, strict=True):
        x_r, x_z, x_n = gates(x @ params.input_kernel + params.bias, 3)
        h_r, h_z, h_n = gates(h @ params.recurrent_kernel, 3)
        z = sigmoid(x_z + h_z)
        n = np.tanh(x_n + sigmoid(x_r + h_r) * (h_n + params.recurrent_bias))
        h = (1 - z) * (m * n) + z * h
        ys.append(h)
    assert_close(run(cell, point, KEY), (jaxrnn.GRUCarry(h), np.stack(ys)))


@pytest.mark.parametrize(("inner", "oracle"), [(LSTM, oracles.lstm), (GRU, oracles.gru)], ids=label)
def test_zoneout_keeps_exactly_the_old_values_where_masked(inner, oracle):
    rates = {"hidden_rate": 0.3} | ({"cell_rate": 0.6} if inner is LSTM else {})
    cell = jaxrnn.Zoneout(inner, **rates)
    point = as_numpy(point_of(cell))
    masks = extras_of(cell, point)
    expected, expectation = point.carry, point.carry
    for t, x in enumerate(point.xs):
        new, _ = oracle(point.params, expected, x)
        expected = new._replace(
            **{
                name: np.where(mask[t] == 1, getattr(expected, name), getattr(new, name))
                for name, mask in masks.items()
            }
        )
        new, _ = oracle(point.params, expectation, x)
        expectation = new._replace(
            **{
                name: z * getattr(expectation, name) + (1 - z) * getattr(new, name)
                for name, z in zip(("h", "c"), rates.values(), strict=False)
            }
        )
    history, ys = jaxrnn.unroll_history(cell, point.params, point.xs, point.carry, key=KEY)
    assert_close(jax.tree.map(lambda leaf: leaf[-1], history.carry), expected)
    assert_close(ys, history.carry.h)
    for name, mask in masks.items():
        values = np.asarray(getattr(history.carry, name))
        before = np.concatenate([getattr(point.carry, name)[None], values[:-1]])
        np.testing.assert_array_equal(values[mask == 1], before[mask == 1])  # To the last bit.
        assert (values[mask == 0] != before[mask == 0]).all()
    assert_close(run(cell, point)[0], expectation)


def test_zoneout_masks_are_fresh_at_every_instant_with_their_rates():
    cell = jaxrnn.Zoneout(LSTM, 0.05, 0.5)
    masks = extras_of(cell, point_of(cell, time=300, batch=(20,)))
    assert_bernoulli(masks["h"] == 0, 0.95)
    assert_bernoulli(masks["c"] == 0, 0.5)
    assert_independent(masks["c"][1:], masks["c"][:-1], 0.5)
    assert_independent(masks["c"][:, 1:], masks["c"][:, :-1], 0.5)


def test_weight_drop_is_one_mask_of_recurrent_kernels_for_the_whole_batch():
    layer = jaxrnn.WeightDrop(jaxrnn.stack(LSTM, jaxrnn.GRU(4, 4)), 0.4)
    point = point_of(layer)
    drop_key, _ = jax.random.split(KEY)
    dropped = jaxrnn.networks.drop_recurrent_weights(drop_key, point.params, 0.4)
    for own, whole in zip(dropped.layers, point.params.layers, strict=True):
        scale = np.asarray(own.recurrent_kernel / whole.recurrent_kernel)
        assert ((scale == 0) | np.isclose(scale, 1 / 0.6, rtol=1e-12)).all()
        assert 0.2 < (scale == 0).mean() < 0.6
        assert_close(own._replace(recurrent_kernel=0), whole._replace(recurrent_kernel=0))
    one, other = (np.asarray(own.recurrent_kernel == 0) for own in dropped.layers)
    assert (one[:, :12] != other).any()
    assert_close(run(layer, point, KEY), run(layer.layer, point._replace(params=dropped)))


def test_weight_drop_statistics():
    kernel = jnp.ones((200, 800))
    params = jaxrnn.LSTMParams(input_kernel=kernel, recurrent_kernel=kernel, bias=None)
    dropped = jaxrnn.networks.drop_recurrent_weights(KEY, params, 0.3)
    assert_bernoulli(np.asarray(dropped.recurrent_kernel != 0), 0.7)
    assert (dropped.input_kernel == kernel).all()


# Expectation at evaluation.


@pytest.mark.parametrize(
    "layer",
    [
        jaxrnn.stack(jaxrnn.Dropout(3, 0.3), jaxrnn.Linear(3, 2)),
        jaxrnn.stack(jaxrnn.VariationalDropout(3, 0.3), jaxrnn.Linear(3, 2)),
        jaxrnn.StateDropout(jaxrnn.Elman(3, 4, activation=jnp.positive), 0.3),
        jaxrnn.Zoneout(jaxrnn.Elman(3, 4, activation=jnp.positive), 0.3),
        jaxrnn.WeightDrop(jaxrnn.Elman(3, 4, activation=jnp.positive), 0.3),
    ],
    ids=["Dropout", "VariationalDropout", "StateDropout", "Zoneout", "WeightDrop"],
)
def test_evaluation_is_the_expectation_of_a_linear_layer(layer):
    """With φ(x) = x outputs are linear in each mask, for one instant where the mask stays."""
    stays = isinstance(layer, jaxrnn.StateDropout | jaxrnn.WeightDrop)
    point = point_of(layer, time=1 if stays else 2, batch=())
    keys = jax.random.split(KEY, 4000)
    draws = np.asarray(draws_of(layer, point, keys)[1])
    expected = np.asarray(run(layer, point)[1])
    error = draws.std(axis=0) / np.sqrt(len(keys))
    assert (error > 0).any()
    assert (np.abs(draws.mean(axis=0) - expected) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("inner", [LSTM, GRU], ids=label)
def test_evaluation_is_the_expectation_of_update_dropout(inner):
    """After one instant the memory is linear in the mask."""
    layer = jaxrnn.UpdateDropout(inner, 0.3)
    point = point_of(layer, time=1, batch=())
    keys = jax.random.split(KEY, 4000)
    draws = np.asarray(draws_of(layer, point, keys)[0][-1])
    error = draws.std(axis=0) / np.sqrt(len(keys))
    assert (error > 0).all()
    assert (np.abs(draws.mean(axis=0) - np.asarray(run(layer, point)[0][-1])) <= 5 * error).all()


# Gradients.


@pytest.mark.parametrize("name", ["Dropout", "StateDropout", "Zoneout", "WeightDrop"])
def test_gradients_under_bptt_are_those_of_scan(name):
    layer = NOISY[name]
    point = point_of(layer)
    probe = random_like(run(layer, point, KEY), seed=9)
    lengths = jnp.array([5, 0, 2])

    @functools.partial(jax.jit, static_argnames="fold", compiler_options=QUICKLY)
    def pull_noisy(point, fold):
        def values(point):
            return jaxrnn.unroll(
                layer, point.params, point.xs, point.carry, key=KEY, lengths=lengths, fold=fold
            )

        out, pullback = jax.vjp(values, point)
        return out, pullback(probe)[0]

    assert_close(pull_noisy(point, bptt), pull_noisy(point, scan))
    assert_close(pull_noisy(point, truncated(TIME)), pull_noisy(point, scan))


def test_expectation_of_zoneout_under_bptt():
    layer = NOISY["Zoneout"]
    point = point_of(layer)
    probe = random_like(run(layer, point), seed=10)
    assert_close(pull(layer, point, probe, fold=bptt), pull(layer, point, probe, fold=scan))


def test_update_dropout_under_bptt_is_refused():
    layer = NOISY["UpdateDropout"]
    point = point_of(layer)
    with pytest.raises(TypeError, match=r"`bptt` needs a ManualCell.*UpdateDropout\(.*`scan`"):
        jaxrnn.unroll(layer, point.params, point.xs, key=KEY, fold=bptt)
