"""Narrow products, wide memory: what has which dtype, and what it is good for."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_point
from jax.extend.core import ClosedJaxpr, Jaxpr
from rows import QUICKLY
from tables import label

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, rebuilt, scan, truncated

F32, BF16, F64 = jnp.float32, jnp.bfloat16, jnp.float64
TIME, ROWS = 5, 3

every_fold = pytest.mark.parametrize("fold", [scan, bptt, truncated(3)], ids=label)

NETWORKS = {
    "LSTM": jaxrnn.LSTM(3, 4),
    "stack": jaxrnn.stack(
        jaxrnn.LSTM(3, 4), jaxrnn.bidirectional(jaxrnn.GRU(4, 2)), jaxrnn.Linear(4, 2)
    ),
    "learned": jaxrnn.learned_carry(
        jaxrnn.stack(jaxrnn.Elman(3, 3), jaxrnn.ProjectedLSTM(3, 4, 2))
    ),
    "noisy": jaxrnn.WeightDrop(
        jaxrnn.stack(
            jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), 0.1, 0.2),
            jaxrnn.Dropout(4, 0.2),
            jaxrnn.StateDropout(jaxrnn.GRU(4, 4), 0.2),
        ),
        0.1,
    ),
    "tokens": jaxrnn.stack(jaxrnn.Embedding(7, 3), jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 7)),
}
every_network = pytest.mark.parametrize("inner", NETWORKS.values(), ids=NETWORKS)


def quickly(function):
    """Compiled once per layer and fold; the programs are small and run once."""
    return jax.jit(function, static_argnums=(0, 2), compiler_options=QUICKLY)


def point_of(layer, dtype=np.float32, **shape):
    point = random_point(layer, time=TIME, batch=(ROWS,), dtype=dtype)
    return point._replace(carry=layer.start(point.params, (ROWS,)))


def point_args(point):
    return point.params, point.xs, point.carry


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


def equations(jaxpr, name):
    """Every equation of a primitive, wherever it stands."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == name:
            found.append(equation)
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: isinstance(v, ClosedJaxpr | Jaxpr)
        ):
            if isinstance(inner, ClosedJaxpr):
                found += equations(inner.jaxpr, name)
            elif isinstance(inner, Jaxpr):
                found += equations(inner, name)
    return found


def outputs_and_gradient(layer, point, fold, **options):
    """Carry, ys and the gradient of a loss that sees them all."""

    def loss(params):
        carry, ys = jaxrnn.unroll(layer, params, point.xs, fold=fold, **options)
        memory = sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(carry))
        return jnp.square(ys).sum() + memory, (carry, ys)

    gradient, (carry, ys) = jax.grad(loss, has_aux=True)(point.params)
    return carry, ys, gradient


@every_fold
@every_network
def test_dtypes_of_parameters_gradients_carry_and_outputs(inner, fold):
    layer = jaxrnn.MixedPrecision(inner)
    point = point_of(layer)
    options = {
        "lengths": jnp.array([5, 2, 0]),
        "resets": jnp.zeros((TIME, ROWS), bool).at[1].set(True),
        "key": jax.random.key(0),
    }
    carry, ys, gradient = jax.eval_shape(
        lambda: outputs_and_gradient(layer, point, fold, **options)
    )
    assert dtypes(point.params) == dtypes(gradient) == dtypes(carry) == {np.dtype(F32)}
    assert ys.dtype == F32


@pytest.mark.parametrize("carry_dtype", ["bfloat16", "float32", "float64"])
@every_network
def test_the_carry_is_as_chosen(inner, carry_dtype):
    layer = jaxrnn.MixedPrecision(inner, carry=carry_dtype)
    point = point_of(layer)
    assert dtypes(layer.start(point.params, (ROWS,))) == {jnp.dtype(carry_dtype)}
    carry, ys = jax.eval_shape(lambda: jaxrnn.unroll(layer, *point_args(point)))
    assert dtypes(carry) == {jnp.dtype(carry_dtype)}
    assert ys.dtype == F32


@pytest.mark.parametrize("carry_dtype", ["bfloat16", "float32"])
def test_a_learned_start_outside_has_the_dtype_of_the_carry(carry_dtype):
    inner = jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4), carry=carry_dtype)
    layer = jaxrnn.learned_carry(inner)
    point = point_of(layer)
    carry, _, gradient = quickly(outputs_and_gradient)(layer, point, scan)
    assert dtypes(carry) == {jnp.dtype(carry_dtype)}
    assert dtypes(gradient) == {np.dtype(F32)}
    assert (gradient.start.c != 0).any()


@pytest.mark.parametrize("xs_dtype", ["bfloat16", "float64"])
def test_inputs_have_the_dtype_of_the_parameters_here_too(xs_dtype):
    layer = jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4))
    point = point_of(layer)
    with pytest.raises(TypeError, match=f"xs has dtype {xs_dtype} but the parameters have float32"):
        jaxrnn.unroll(layer, point.params, point.xs.astype(xs_dtype))


@pytest.mark.parametrize("fold", [scan, bptt, rebuilt(2), truncated(3)], ids=label)
@pytest.mark.parametrize(
    "cell",
    [
        jaxrnn.Elman(3, 4),
        jaxrnn.LSTM(3, 4),
        jaxrnn.ProjectedLSTM(3, 4, 2),
        jaxrnn.GRU(3, 4),
        jaxrnn.ResetBeforeGRU(3, 4),
    ],
    ids=label,
)
def test_every_product_of_training_is_narrow_with_wide_sums(cell, fold):
    layer = jaxrnn.MixedPrecision(jaxrnn.stack(cell, jaxrnn.Linear(cell.output_size, 2)))
    point = point_of(layer)

    def loss(params):
        return jnp.square(jaxrnn.unroll(layer, params, point.xs, fold=fold)[1]).sum()

    program = jax.jit(jax.value_and_grad(loss)).lower(point.params).as_text()
    products = re.findall(r"dot_general.* : \((.*), (.*)\) -> (.*)", program)
    # Input and state, forward and twice backward; the output layer's three.
    assert len(products) >= 6
    for types in products:
        assert [each.split("x")[-1] for each in types] == ["bf16>", "bf16>", "f32>"]


@every_fold
def test_memory_is_wide(fold):
    layer = jaxrnn.MixedPrecision(jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.GRU(4, 4)))
    point = point_of(layer)

    def values(params, xs):
        return jaxrnn.unroll(layer, params, xs, fold=fold)

    loops = equations(jax.make_jaxpr(values)(point.params, point.xs).jaxpr, "scan")
    assert loops
    for loop in loops:
        carried = loop.outvars[: loop.params["num_carry"]]
        floats = [v.aval.dtype for v in carried if jnp.issubdtype(v.aval.dtype, jnp.floating)]
        assert set(floats) == {np.dtype(F32)}


@pytest.mark.parametrize("fold", [scan, bptt], ids=label)
def test_the_backward_loop_hands_on_wide_cotangents(fold):
    layer = jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4))
    point = point_of(layer)

    def loss(params):
        return jaxrnn.unroll(layer, params, point.xs, fold=fold)[1].sum()

    loops = equations(jax.make_jaxpr(jax.grad(loss))(point.params).jaxpr, "scan")
    backward = [loop for loop in loops if loop.params["reverse"]]
    assert backward
    for loop in backward:
        carried = [v.aval for v in loop.outvars[: loop.params["num_carry"]]]
        of_carry = [aval for aval in carried if aval.shape == (ROWS, 4)]
        assert len(of_carry) >= 2  # d_h and d_c
        assert {aval.dtype for aval in of_carry} == {np.dtype(F32)}


def counter():
    """An LSTM that adds σ(4) · tanh(0.001) ≈ 0.00098 to c at every instant, and forgets nothing."""
    params = jaxrnn.LSTMParams(
        input_kernel=jnp.array([[0, 0, 1, 0]], F32),
        recurrent_kernel=jnp.zeros((1, 4), F32),
        bias=jnp.array([4, 200, 0, 4], F32),
    )
    return jaxrnn.LSTM(1, 1), params


@every_fold
def test_a_wide_memory_keeps_small_increments(fold):
    """2,000 steps: bfloat16 has 8 bits, and stops counting when c is a few hundred increments."""
    cell, params = counter()
    xs = jnp.full((2000, 1), 0.001, F32)
    exact = 2000 * np.tanh(0.001) / (1 + np.exp(-4))
    if isinstance(fold, type(truncated(1))):
        fold = truncated(1000, every=1000)
    wide, _ = jaxrnn.unroll(jaxrnn.MixedPrecision(cell), params, xs, fold=fold)
    np.testing.assert_allclose(wide.c[0], exact, rtol=1e-2)
    narrow, _ = jaxrnn.unroll(jaxrnn.MixedPrecision(cell, carry="bfloat16"), params, xs, fold=fold)
    assert narrow.c[0] < 0.5 * exact


@pytest.mark.parametrize("cell", [jaxrnn.LSTM(4, 8), jaxrnn.GRU(4, 8)], ids=str)
@pytest.mark.parametrize(("length", "rows"), [(40, 512), (3000, 1)])
@pytest.mark.parametrize("fold", [scan, bptt, rebuilt(7), checkpointed(7), truncated(1)], ids=label)
def test_gradients_are_summed_in_float32(cell, length, rows, fold):
    """In bfloat16 a sum of thousands of like numbers is a fraction of what it should be."""
    if isinstance(fold, type(truncated(1))):
        fold = truncated(length - 1, every=length - 1)
    params = jax.tree.map(lambda leaf: leaf.astype(F32), cell.init(jax.random.key(0)))
    xs = jax.random.normal(jax.random.key(1), (length, rows, 4), F32)

    @functools.partial(jax.jit, static_argnums=1)
    def gradient(params, layer):
        return jax.grad(lambda params: jaxrnn.unroll(layer, params, xs, fold=fold)[1].mean())(
            params
        )

    mixed = gradient(params, jaxrnn.MixedPrecision(cell))
    for got, want in zip(mixed, gradient(params, cell), strict=True):
        assert jnp.abs(got - want).max() < 0.02 * jnp.abs(want).max()


NEAR = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 2))


@every_fold
def test_mixed_precision_is_near_full_precision(fold):
    mixed_layer = jaxrnn.MixedPrecision(NEAR)
    point = point_of(mixed_layer)
    full = quickly(outputs_and_gradient)(NEAR, point, fold)
    mixed = quickly(outputs_and_gradient)(mixed_layer, point, fold)
    assert_close(mixed, full, tolerance=0.1)
    with pytest.raises(AssertionError, match="differs"):  # It does compute in another dtype.
        assert_close(mixed, full, tolerance=1e-4)


@pytest.mark.parametrize("fold", [bptt, truncated(TIME)], ids=label)
def test_folds_agree_in_mixed_precision(fold):
    layer = jaxrnn.MixedPrecision(jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Elman(4, 4)))
    point = point_of(layer)
    by_fold = quickly(outputs_and_gradient)(layer, point, fold)
    assert_close(by_fold, quickly(outputs_and_gradient)(layer, point, scan), tolerance=0.05)


@every_network
def test_float64_throughout_is_plain(inner):
    """Compute and carry in the dtype of the parameters: the layer without a wrapper."""
    layer = jaxrnn.MixedPrecision(inner, compute="float64", carry="float64")
    point = random_point(layer, time=TIME, batch=(ROWS,))
    mixed = jaxrnn.unroll(layer, *point_args(point))
    assert_close(mixed, jaxrnn.unroll(inner, *point_args(point)))
    assert dtypes(mixed) == {np.dtype(F64)}


def test_nothing_is_promoted_unasked():
    cell = jaxrnn.LSTM(3, 4)
    point = point_of(cell)
    with pytest.raises(TypeError, match="xs has dtype float64 but the parameters have float32"):
        jaxrnn.unroll(cell, point.params, point.xs.astype(F64))
    with pytest.raises(TypeError, match="carry `h` has dtype float64, expected float32"):
        wide = jax.tree.map(lambda leaf: leaf.astype(F64), point.carry)
        jaxrnn.unroll(cell, point.params, point.xs, wide)
    mixed = jaxrnn.MixedPrecision(cell)
    narrow = jax.tree.map(lambda leaf: leaf.astype(BF16), point.carry)
    with pytest.raises(TypeError, match="carry `h` has dtype bfloat16, expected float32"):
        jaxrnn.unroll(mixed, point.params, point.xs, narrow)


@pytest.mark.parametrize("dtype", [BF16, F32, F64], ids=lambda dtype: np.dtype(dtype).name)
@every_fold
def test_without_a_wrapper_everything_is_in_the_dtype_of_the_parameters(dtype, fold):
    layer = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.GRU(4, 4))
    point = point_of(layer, dtype=dtype)
    out = jax.eval_shape(lambda: outputs_and_gradient(layer, point, fold))
    assert dtypes(out) == {np.dtype(dtype)}


def test_one_instant_has_the_dtypes_of_the_sequence():
    for inner in (NETWORKS["LSTM"], NETWORKS["tokens"]):
        layer = jaxrnn.MixedPrecision(inner)
        point = point_of(layer)
        carry, y = layer(point.params, point.carry, point.xs[0])
        assert dtypes(carry) == {np.dtype(F32)} and y.dtype == F32
        _, ys = jaxrnn.unroll(layer, point.params, point.xs[:1])
        assert_close(y, ys[0], tolerance=0.05)


@pytest.mark.parametrize("option", ["compute", "carry"])
def test_other_dtypes_are_refused(option):
    for dtype in ("int8", "f32", jnp.float32, None):
        with pytest.raises(
            (TypeError, ValueError), match=f"MixedPrecision: {option} must be one of bfloat16"
        ):
            jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4), **{option: dtype})


@pytest.mark.parametrize(
    ("compute", "carry"), [("float32", "bfloat16"), ("float16", "bfloat16"), ("float64", "float32")]
)
def test_a_carry_narrower_than_what_is_computed_is_refused(compute, carry):
    with pytest.raises(ValueError, match=f"a carry in {carry} cannot hold .* in {compute}"):
        jaxrnn.MixedPrecision(jaxrnn.LSTM(3, 4), compute, carry)


def test_rates_may_be_numbers_of_numpy():
    rate = np.float64(0.5)
    network = jaxrnn.MixedPrecision(
        jaxrnn.stack(
            jaxrnn.LSTM(3, 4),
            jaxrnn.Dropout(4, rate),
            jaxrnn.WeightDrop(jaxrnn.LSTM(4, 4), rate),
            jaxrnn.StateDropout(jaxrnn.GRU(4, 4), rate),
        )
    )
    params = jax.tree.map(lambda p: p.astype("float32"), network.init(jax.random.key(0)))
    xs = jnp.ones((5, 2, 3), "float32")
    assert jaxrnn.unroll(network, params, xs, key=jax.random.key(1))[1].dtype == jnp.float32
