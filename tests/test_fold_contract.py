"""What every fold promises: the values of `scan`, and its gradient or a stated part of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import (
    assert_close,
    assert_same_values_and_gradients,
    pull,
    random_like,
    random_point,
    random_probe,
    run,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import notebook
from tables import CELLS, FOLDS, ONE_OF_EACH, Leaky, label, pairs

import jaxrnn
from jaxrnn.folds import bptt, checkpointed, hoisted, rebuilt, scan, truncated

OWN_DERIVATIVE = (bptt, hoisted, rebuilt(3))

one_of_each = pytest.mark.parametrize("cell", ONE_OF_EACH, ids=label)

# Every new shape is compiled anew, so the examples are few; the numbers in them are many.
few_shapes = settings(max_examples=3, derandomize=True, deadline=None, database=None)


def resized(cell, input_size, hidden_size):
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    names = {field.name for field in dataclasses.fields(cell)}
    return dataclasses.replace(cell, **{n: size for n, size in sizes.items() if n in names})


# Equal to scan.


@pytest.mark.parametrize(
    ("cell", "fold"),
    # What is made of other folds, once; what has a derivative of its own, for every equation.
    [
        *pairs(CELLS, [bptt]),
        *pairs(ONE_OF_EACH, [hoisted, rebuilt(3)]),
        *pairs(ONE_OF_EACH[:1], [f for f in FOLDS if FOLDS[f] and f not in OWN_DERIVATIVE]),
    ],
)
@few_shapes
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(3, 5)),
    time=st.integers(2, 7),
    batch=st.sampled_from([(), (1,), (3,), (2, 3)]),
    seed=st.integers(0, 10_000),
)
def test_values_and_gradients_are_those_of_scan(cell, fold, sizes, time, batch, seed):
    cell = resized(cell, *sizes)
    for offset in range(3):  # The same shapes three times cost one compilation.
        point = random_point(cell, seed=seed + 10 * offset, time=time, batch=batch)
        assert_same_values_and_gradients(cell, point, fold, seed=seed)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.knows_backward], ids=label)
def test_many_rows_go_in_segments_and_project_in_the_loop(cell):
    # 130 rows make segments of 3 instants: three whole ones and a rest of 2.
    point = random_point(cell, seed=1, time=11, batch=(130,))
    assert_same_values_and_gradients(cell, point, bptt)


@functools.partial(jax.jit, static_argnames=("cell", "fold"))
def ragged_values_and_gradients(point, flags, cell, fold):
    mask, resets = flags

    def total(point):
        params, carry, xs = point
        carry, ys = jaxrnn.unroll(cell, params, xs, carry, mask=mask, resets=resets, fold=fold)
        return jnp.sum(jnp.sin(ys)) + sum(jnp.sum(c**3) for c in carry)

    return jax.value_and_grad(total)(point)


@pytest.mark.parametrize(
    ("cell", "fold"),
    pairs([jaxrnn.LSTM(3, 4)], [fold for fold in FOLDS if FOLDS[fold] and fold is not scan]),
)
def test_masks_resets_and_vmap_with_every_fold(cell, fold):
    alone = [random_point(cell, seed=seed, time=7) for seed in (1, 2)]
    flags = np.random.default_rng(3).random((2, 2, 7, 2)) < 0.7
    expected = [
        ragged_values_and_gradients(point, own, cell, scan)
        for point, own in zip(alone, flags, strict=True)
    ]
    for point, own, want in zip(alone, flags, expected, strict=True):
        assert_close(ragged_values_and_gradients(point, own, cell, fold), want)
    together, wanted = (
        jax.tree.map(lambda *x: jnp.stack(x), *trees) for trees in (alone, expected)
    )
    mapped = jax.vmap(functools.partial(ragged_values_and_gradients, cell=cell, fold=fold))
    assert_close(mapped(together, flags), wanted)


def test_masks_and_resets_go_in_segments_too():
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell, seed=1, time=11, batch=(130,))
    flags = np.random.default_rng(2).random((2, 11, 130)) < 0.5
    by_hand, by_jax = (
        ragged_values_and_gradients(point, flags, cell, fold) for fold in (bptt, scan)
    )
    assert_close(by_hand, by_jax)


@pytest.mark.parametrize(
    ("fold", "symbols"),
    [(bptt, "time, 2"), (bptt, "5, batch"), (bptt, "time, batch"), (rebuilt(3), "time, batch")],
    ids=label,
)
def test_shapes_may_be_symbols(fold, symbols):
    cell = jaxrnn.GRU(3, 4)
    point = random_point(cell)
    time, batch = jax.export.symbolic_shape(symbols)
    shape = jax.ShapeDtypeStruct((time, batch, 3), point.xs.dtype)

    def loss(params, xs):
        return jnp.square(jaxrnn.unroll(cell, params, xs, fold=fold)[1]).sum()

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    exported = jax.export.export(gradient)(point.params, shape)
    assert_close(exported.call(point.params, point.xs), gradient(point.params, point.xs))


@pytest.mark.parametrize(
    ("cell", "fold"),
    [
        *pairs(ONE_OF_EACH, [bptt]),
        *pairs([jaxrnn.GRU(3, 4)], [hoisted, rebuilt(3), checkpointed(3)]),
    ],
)
def test_second_derivative_in_reverse_over_reverse_is_that_of_scan(cell, fold):
    point = random_point(cell, seed=3, time=4)
    probe, direction = random_probe(cell, point), random_like(point, 4)

    @functools.partial(jax.jit, static_argnames="fold")
    def hessian_times(point, fold):
        def slope(point):
            gradient = pull(cell, point, probe, fold=fold)[1]
            products = jax.tree.map(jnp.vdot, gradient, direction)
            return sum(jax.tree.leaves(products))

        return jax.grad(slope)(point)

    assert_close(hessian_times(point, fold), hessian_times(point, scan))


@pytest.mark.parametrize("fold", [scan, bptt, hoisted, rebuilt(3), checkpointed(3)], ids=label)
@pytest.mark.parametrize("cell", [jaxrnn.LSTM(3, 4)], ids=label)
def test_hessian_vector_product_in_forward_over_reverse(cell, fold):
    point = random_point(cell, seed=5, time=4)
    probe, direction = random_probe(cell, point), random_like(point, 6)

    def gradient(point):
        return pull(cell, point, probe, fold=fold)[1]

    @jax.jit
    def both(point):
        forward = jax.jvp(gradient, (point,), (direction,))[1]
        backward = jax.vjp(gradient, point)[1](direction)[0]  # A Hessian is symmetric.
        return forward, backward

    assert_close(*both(point))


@pytest.mark.parametrize(
    ("cell", "fold"),
    [
        *pairs(ONE_OF_EACH, [bptt]),
        *pairs([jaxrnn.GRU(3, 4)], [hoisted, rebuilt(3), checkpointed(3)]),
    ],
)
def test_forward_mode_is_that_of_scan(cell, fold):
    point = random_point(cell, seed=3, time=4)
    direction = random_like(point, 4)

    @functools.partial(jax.jit, static_argnames="fold")
    def tangent(point, fold):
        return jax.jvp(functools.partial(run, cell, fold=fold), (point,), (direction,))

    assert_close(tangent(point, fold), tangent(point, scan))


@pytest.mark.parametrize(("fold", "name"), [(bptt, "bptt"), (rebuilt(), "rebuilt")])
def test_some_folds_ask_for_a_cell_that_knows_its_backward_step(fold, name):
    cell = Leaky(3)
    point = random_point(cell)
    with pytest.raises(
        TypeError, match=rf"`{name}` needs a ManualCell.*Leaky\(input_size=3\).*`scan`"
    ):
        jaxrnn.unroll(cell, point.params, point.xs, fold=fold)
    with pytest.raises(TypeError, match=f"`{name}` needs a ManualCell"):
        fold(cell, *point)


def test_a_fold_of_the_users_own():
    def by_python_loop(cell, params, carry, xs):
        ys = []
        for x in xs:
            carry, y = cell(params, carry, x)
            ys.append(y)
        return carry, jnp.stack(ys)

    cell = jaxrnn.GRU(3, 4)
    assert_same_values_and_gradients(cell, random_point(cell, seed=8), by_python_loop)


# The fifth notebook.


@pytest.mark.parametrize(
    ("fold", "hop"),
    [(scan, True), (bptt, True), (truncated(9), True), (truncated(1), False)],
    ids=label,
)
def test_the_gradients_of_the_fifth_notebook(fold, hop):
    tokens, hidden, length = 7, 5, 9
    network = jaxrnn.stack(
        jaxrnn.OneHot(tokens), jaxrnn.Elman(tokens, hidden), jaxrnn.Linear(hidden, tokens)
    )
    params, carry, _ = random_point(network, seed=15, batch=())
    rng = np.random.default_rng(16)
    inputs, targets = rng.integers(tokens, size=(2, length))

    def loss(params, carry):
        _, logits = jaxrnn.unroll(network, params, inputs, carry, fold=fold)
        return -jax.nn.log_softmax(logits)[np.arange(length), targets].sum()

    value, (by_jaxrnn, d_carry) = jax.value_and_grad(loss, (0, 1))(params, carry)

    def transposed(params):
        _, elman, linear = params.layers
        return notebook.Weights(
            input_hidden=np.asarray(elman.input_kernel.T),
            hidden_hidden=np.asarray(elman.recurrent_kernel.T),
            hidden_output=np.asarray(linear.kernel.T),
            hidden_bias=np.asarray(elman.bias),
            output_bias=np.asarray(linear.bias),
        )

    expected, by_hand, d_start = notebook.loss_and_gradient(
        transposed(params), inputs, targets, np.asarray(carry.layers[1].h), hop=hop
    )
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    assert_close(transposed(by_jaxrnn), by_hand)
    assert_close(d_carry.layers[1].h, d_start)


def test_the_oracle_of_the_fifth_notebook_against_finite_differences():
    rng = np.random.default_rng(17)
    shapes = [(4, 6), (4, 4), (6, 4), (4,), (6,)]
    weights = notebook.Weights(*(rng.normal(size=shape) for shape in shapes))
    inputs, targets = rng.integers(6, size=(2, 5))
    start = rng.normal(size=4)

    def run_oracle(weights, start, hop=True):
        return notebook.loss_and_gradient(weights, inputs, targets, start, hop=hop)

    directions = notebook.Weights(*(rng.normal(size=shape) for shape in shapes))
    d_start = rng.normal(size=4)

    def moved(by):
        shifted = (w + by * d for w, d in zip(weights, directions, strict=True))
        return run_oracle(notebook.Weights(*shifted), start + by * d_start)[0]

    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    _, gradient, gradient_start = run_oracle(weights, start)
    by_hand = sum(np.vdot(g, d) for g, d in zip(gradient, directions, strict=True))
    np.testing.assert_allclose(by_hand + gradient_start @ d_start, slope, rtol=1e-7)
    naive = run_oracle(weights, start, hop=False)[1]
    assert np.abs(naive.hidden_hidden - gradient.hidden_hidden).max() > 1e-3
