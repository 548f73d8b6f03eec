"""Arrays whose types say on which devices they lie, as a mesh of `jax.make_mesh` makes them.

The devices are parts of this machine's processor; they have to be asked for before JAX starts, so
the test runs in a process of its own.
"""

from devices import run_on_devices

PROGRAM = """
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import jaxrnn
from jaxrnn import folds, training

rng = np.random.default_rng(0)
network = jaxrnn.stack(
    jaxrnn.Embedding(11, 8),
    jaxrnn.learned_carry(jaxrnn.Zoneout(jaxrnn.LSTM(8, 12), 0.3)),
    jaxrnn.UpdateDropout(jaxrnn.GRU(12, 12), 0.2),
    jaxrnn.bidirectional(jaxrnn.Elman(12, 8)),
    jaxrnn.Linear(16, 11),
)
params = network.init(jax.random.key(0))
tokens, targets = jnp.asarray(rng.integers(11, size=(2, 6, 8)))
resets = jnp.asarray(rng.random(size=(6, 8)) < 0.3)
lengths = jnp.asarray(rng.integers(0, 7, size=8))


def loss(params, tokens, targets, resets, lengths, fold=folds.automatic):
    key, given = jax.random.key(3), dict(lengths=lengths, resets=resets, fold=fold)
    ys = jaxrnn.unroll(network, params, tokens, key=key, **given)[1]
    return training.cross_entropy(ys, targets, jnp.arange(6)[:, None] < lengths)


def curvature(params, *batch):
    return jax.jvp(jax.grad(loss), (params, *batch), (params, *map(zero, batch)))[1]


def zero(x):
    return np.zeros(x.shape, jax.dtypes.float0)


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-13)


def specs(tree):
    return {jax.typeof(leaf).sharding.spec for leaf in jax.tree.leaves(tree)}


batch = tokens, targets, resets, lengths
unrolled = jaxrnn.unroll(network, params, tokens)
gradient = jax.value_and_grad(loss)(params, *batch)
subtracted = jax.tree.map(jnp.subtract, params, gradient[1])
curved = jax.jit(curvature)(params, *batch)
history = jaxrnn.unroll_history(network, params, tokens, lengths=lengths)
last = jaxrnn.unroll_last(network, params, tokens, lengths=lengths)

one_axis = jax.make_mesh((4,), ("data",))
two_axes = jax.make_mesh((2, 2), ("data", "model"))
assert AxisType.Explicit in one_axis.axis_types

for mesh, names in (one_axis, "data"), (two_axes, "data"), (two_axes, ("data", "model")):
    by_row, in_time = (NamedSharding(mesh, P(*axes)) for axes in ((names,), (None, names)))
    placed = jax.device_put(batch, (in_time, in_time, in_time, by_row))

    # Without a mesh that is set, the types are enough.
    assert_same(jax.jit(jax.value_and_grad(loss))(params, *placed), gradient)

    with jax.set_mesh(mesh):
        shared = jax.device_put(params, NamedSharding(mesh, P()))
        carry, ys = jaxrnn.unroll(network, shared, placed[0])
        assert_same((carry, ys), unrolled)
        assert specs(carry) == {P(names, None)} and specs(ys) == {P(None, names, None)}

        by_column = jax.device_put(tokens.T, NamedSharding(mesh, P(names)))
        carry, ys = jaxrnn.unroll(network, shared, by_column, time_axis=1)
        assert_same((carry, jnp.moveaxis(ys, 1, 0)), unrolled)
        assert specs(ys) == {P(names, None, None)}

        own = jaxrnn.unroll_last(network, shared, placed[0], lengths=placed[3])
        assert_same(own, last)
        assert specs(own) == {P(names, None)}

        # Gradients lie where parameters do.
        value, steps = jax.value_and_grad(loss)(shared, *placed)
        assert_same((value, steps), gradient)
        assert_same(jax.tree.map(jnp.subtract, shared, steps), subtracted)

with jax.set_mesh(mesh):
    own = jaxrnn.unroll_history(network, shared, placed[0], lengths=placed[3])
    assert_same(own, history)
    for fold in (folds.scan, folds.spread(mesh)):
        derived = jax.jit(jax.value_and_grad(lambda *given: loss(*given, fold=fold)))
        assert_same(derived(shared, *placed), gradient)
    assert_same(jax.jit(curvature)(shared, *placed), curved)

# The rows of a program spread over all devices meet once: the loops send nothing.
vectors = jnp.asarray(rng.normal(size=(6, 8, 8)))
cell = jaxrnn.LSTM(8, 12)
weights = cell.init(jax.random.key(0))
everywhere, in_time, by_gate = (
    NamedSharding(one_axis, P(*axes)) for axes in ((), (None, "data"), (None, "data"))
)


@jax.jit
def derived(weights, xs):
    return jax.grad(lambda weights: (jaxrnn.unroll(cell, weights, xs)[1] ** 2).sum())(weights)


with jax.set_mesh(one_axis):
    placed, shared = jax.device_put((vectors, weights), (in_time, everywhere))
    program = derived.lower(shared, placed).compile().as_text()
    assert "all-reduce" in program and "all-gather" not in program

    # Weights may lie on it too, and time or features: slower, and the same numbers.
    want = jaxrnn.unroll(cell, weights, vectors)
    by_gates = jax.device_put(weights.recurrent_kernel, by_gate)
    assert_same(
        jaxrnn.unroll(cell, shared._replace(recurrent_kernel=by_gates), vectors), want
    )
    long = jnp.asarray(rng.normal(size=(8, 2, 8)))
    for axes in (("data",), (None, None, "data")):
        apart = jax.device_put(long, NamedSharding(one_axis, P(*axes)))
        assert_same(jaxrnn.unroll(cell, shared, apart), jaxrnn.unroll(cell, weights, long))

    # NumPy's arrays lie nowhere.
    assert_same(jaxrnn.unroll(cell, shared, np.asarray(vectors)), want)

    # What is wrong is said as ever.
    for given, message in (
        ({"lengths": [9] * 8}, "lengths run from 9 to 9"),
        ({"fold": 3}, "fold must be a function"),
        ({"resets": jnp.ones((3, 3), bool)}, "resets has shape"),
        ({"foo": 1}, "unexpected keyword"),
    ):
        try:
            jaxrnn.unroll(cell, shared, placed, **given)
        except (TypeError, ValueError) as error:
            assert message in str(error), error
        else:
            raise AssertionError(given)

# `spread` asks for a mesh that is not explicit, or for arrays that are on it.
auto = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
for context, mesh in ((None, one_axis), (one_axis, auto)):
    try:
        if context is not None:
            jax.set_mesh(context)
        jaxrnn.unroll(cell, weights, vectors, fold=folds.spread(mesh))
    except ValueError as error:
        assert "the axes of this mesh are explicit" in str(error), error
    else:
        raise AssertionError(mesh)

print("ok")
"""


def test_arrays_on_an_explicit_mesh():
    run_on_devices(PROGRAM, 4)
