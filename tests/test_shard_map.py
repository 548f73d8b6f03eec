"""A batch spread over two devices gives the gradient of the whole, with every fold.

The devices are two halves of this machine's processor; they have to be asked for before JAX
starts, so the test runs in a process of its own.
"""

from devices import run_on_devices

PROGRAM = """
import functools

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec as P

import jaxrnn
from jaxrnn.folds import automatic, bptt, checkpointed, hoisted, rebuilt, scan, truncated

assert jax.device_count() == 2, jax.devices()
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
rng = np.random.default_rng(0)


def random_like(tree):
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), tree)


network = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 2))
params = random_like(network.init(jax.random.key(0)))
carry = random_like(network.initial_carry((4,)))
xs, probe = (jnp.asarray(rng.normal(size=(5, 4, size))) for size in (3, 2))


def loss(params, carry, xs, probe, fold):
    return (jaxrnn.unroll(network, params, xs, carry, fold=fold)[1] * probe).sum()


want = jax.jit(jax.grad(loss), static_argnums=4)(params, carry, xs, probe, scan)


def assert_same(got):
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-14)


for fold in (scan, bptt, hoisted, rebuilt(2), checkpointed(2), truncated(9)):
    specs = dict(mesh=mesh, in_specs=(P(), P("batch"), P(None, "batch"), P(None, "batch")))

    # The parameters are told to differ by device before they meet the fold.
    def checked(params, carry, xs, probe, fold=fold):
        params = jax.tree.map(lambda p: jax.lax.pcast(p, "batch", to="varying"), params)
        gradient = jax.grad(loss)(params, carry, xs, probe, fold)
        return jax.tree.map(lambda g: jax.lax.psum(g, "batch"), gradient)

    spread = jax.shard_map(checked, out_specs=P(), **specs)
    assert_same(jax.jit(spread)(params, carry, xs, probe))

    # Or they are shared, and JAX adds up their gradient over the devices by itself.
    def shared(params, carry, xs, probe, fold=fold):
        return jax.grad(loss)(params, carry, xs, probe, fold)

    spread = jax.shard_map(shared, out_specs=P(), **specs)
    assert_same(jax.jit(spread)(params, carry, xs, probe))

    # Or the check of what differs by device is off.
    def unchecked(params, carry, xs, probe, fold=fold):
        gradient = jax.grad(loss)(params, carry, xs, probe, fold)
        return jax.tree.map(lambda g: jax.lax.psum(g, "batch"), gradient)

    spread = jax.shard_map(unchecked, out_specs=P(), check_vma=False, **specs)
    assert_same(jax.jit(spread)(params, carry, xs, probe))

    # A start that nobody gave differs by device as the inputs do.
    def started(params, xs, fold=fold):
        return jaxrnn.unroll(network, params, xs, fold=fold)[1]

    spread = jax.shard_map(
        started, mesh=mesh, in_specs=(P(), P(None, "batch")), out_specs=P(None, "batch")
    )
    np.testing.assert_allclose(jax.jit(spread)(params, xs), started(params, xs), rtol=1e-12)

    # And without shard_map: arrays that lie on two devices, and the compiler does the rest.
    rows = jax.NamedSharding(mesh, P(None, "batch"))
    placed = [jax.device_put(x, rows) for x in (xs, probe)]
    assert_same(jax.jit(jax.grad(loss), static_argnums=4)(params, carry, *placed, fold))

# The cotangent of a kernel in bfloat16 is summed over devices as well.
def narrow(kernel, xs):
    return jaxrnn.linear.affine(xs, kernel).sum()


def summed(kernel, xs):
    return jax.lax.psum(narrow(kernel, xs), "batch")


kernel, rows = jnp.asarray(rng.normal(size=(3, 4)), jnp.bfloat16), jnp.ones((6, 3), jnp.float32)
spread = jax.shard_map(summed, mesh=mesh, in_specs=(P(), P("batch")), out_specs=P())
got, want = (jax.jit(jax.grad(f))(kernel, rows).astype(float) for f in (spread, narrow))
np.testing.assert_array_equal(got, want)
assert (want == 6).all()

# The fold that does all this by itself: the same noise, masks, resets and learned starts.
noisy = jaxrnn.stack(
    jaxrnn.WeightDrop(jaxrnn.LSTM(3, 4), 0.3),
    jaxrnn.Dropout(4, 0.3),
    jaxrnn.learned_carry(jaxrnn.Zoneout(jaxrnn.GRU(4, 4), 0.3)),
    jaxrnn.bidirectional(jaxrnn.Elman(4, 3)),
    jaxrnn.Linear(6, 2),
)
params = random_like(noisy.init(jax.random.key(0)))
flags = jnp.asarray(rng.random(size=(5, 4)) < 0.3)
options = dict(key=jax.random.key(1), lengths=jnp.array([5, 0, 3, 4]), resets=flags)


@functools.partial(jax.jit, static_argnums=3)
def gradients(params, xs, probe, fold, **options):
    def noisy_loss(params, xs):
        return (jaxrnn.unroll(noisy, params, xs, fold=fold, **options)[1] * probe).sum()

    return jax.value_and_grad(noisy_loss, (0, 1))(params, xs)


for given in (options, {}):
    want = gradients(params, xs, probe, scan, **given)
    for fold in (automatic, rebuilt(2)):
        assert_same(gradients(params, *placed, jaxrnn.folds.spread(mesh, fold), **given))

for shape, message in {(5, 3, 3): "share equally", (5, 3): "no batch"}.items():
    try:
        jaxrnn.unroll(jaxrnn.GRU(3, 4), jaxrnn.GRU(3, 4).init(jax.random.key(0)), jnp.ones(shape),
                      fold=jaxrnn.folds.spread(mesh))
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(shape)

print("ok")
"""


def test_gradients_of_a_sharded_batch():
    run_on_devices(PROGRAM, 2)
