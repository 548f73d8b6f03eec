"""`check_gradients`: what it compares, what it prints; in anybody's mode of JAX."""

import jax
import jax.numpy as jnp
import pytest
from tables import Leaky

import jaxrnn


def check(layer, xs, **options):
    return jaxrnn.check_gradients(layer, layer.init(jax.random.key(0)), xs, entries=6, **options)


def vectors(*shape):
    return jax.random.normal(jax.random.key(1), shape)


def test_the_report_has_every_leaf_twice_and_prints_as_a_table():
    report = check(jaxrnn.LSTM(2, 3), vectors(4, 2))
    leaves = ["params.input_kernel", "params.recurrent_kernel", "params.bias"]
    leaves += ["xs", "carry.h", "carry.c"]
    assert sorted(c.leaf for c in report.comparisons) == sorted(2 * leaves)
    assert report.passed and not report.failures
    lines = str(report).splitlines()
    assert lines[0] == "LSTM(input_size=2, hidden_size=3)"
    assert lines[1].split()[:4] == ["gradient", "of", "JAX", "against"]
    assert lines[-1] == "12 comparisons, all passed"
    assert all(line.endswith("ok") for line in lines[2:-1])
    assert {c.entries for c in report.comparisons if c.against == "finite differences"} >= {(6, 24)}


def test_users_in_float32_mode_get_float64_and_keep_their_mode():
    with jax.enable_x64(False):
        cell = jaxrnn.GRU(2, 3)
        params, xs = cell.init(jax.random.key(0)), vectors(4, 2)
        assert params.bias.dtype == xs.dtype == jnp.float32
        report = jaxrnn.check_gradients(cell, params, xs, entries=6)
        assert jnp.ones(()).dtype == jnp.float32
    # In float32 no difference would be as small as this.
    assert report.passed
    assert max(c.relative for c in report.comparisons if c.against == "bptt by hand") < 1e-12
    assert max(c.relative for c in report.comparisons) < 1e-6


def test_a_network_of_tokens_with_a_learned_start():
    network = jaxrnn.stack(
        jaxrnn.Embedding(5, 3), jaxrnn.learned_carry(jaxrnn.Elman(3, 3)), jaxrnn.Linear(3, 5)
    )
    report = check(network, jnp.array([[0, 1], [2, 4], [4, 3]]))
    assert report.passed
    leaves = {c.leaf: c.absolute for c in report.comparisons}
    assert "xs" not in leaves and "params.layers[1].start.h" in leaves
    assert "params.layers[0].table" in leaves


def test_a_cell_without_a_backward_step_is_compared_with_finite_differences_only():
    report = check(Leaky(3), vectors(4, 3))
    assert report.passed
    assert {c.against for c in report.comparisons} == {"finite differences"}
    assert "no bptt by hand: Leaky(input_size=3)" in str(report)


@pytest.mark.parametrize(
    ("layer", "xs"),
    [
        (jaxrnn.stack(jaxrnn.MixedPrecision(jaxrnn.LSTM(2, 3)), jaxrnn.GRU(3, 2)), vectors(3, 2)),
        (jaxrnn.stack(jaxrnn.OneHot(4, "float32"), jaxrnn.Elman(4, 2)), jnp.array([0, 3, 1])),
    ],
    ids=["mixed precision", "one-hot in float32"],
)
def test_what_narrows_a_dtype_is_taken_off(layer, xs):
    assert check(layer, xs).passed


def test_a_derivative_that_is_not_a_number_fails():
    class Broken(jaxrnn.Elman):
        def backward(self, params, residual, d_carry, d_y):
            d_carry, d_a = super().backward(params, residual, d_carry, d_y)
            return d_carry, d_a * jnp.nan

    report = check(Broken(2, 3), vectors(3, 2))
    assert not report.passed
    assert "FAILED" in str(report) and {f.against for f in report.failures} == {"bptt by hand"}


@pytest.mark.parametrize("name", ["entries", "step", "manual_tolerance", "difference_tolerance"])
def test_options_have_to_be_positive(name):
    cell = jaxrnn.Elman(2, 3)
    with pytest.raises(ValueError, match=f"check_gradients: {name} must be positive, got 0"):
        jaxrnn.check_gradients(cell, cell.init(jax.random.key(0)), vectors(3, 2), **{name: 0})


def test_the_border_speaks_first():
    cell = jaxrnn.Elman(2, 3)
    with pytest.raises(ValueError, match="expected input_size=2"):
        jaxrnn.check_gradients(cell, cell.init(jax.random.key(0)), vectors(3, 5))
