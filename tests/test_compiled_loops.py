"""What XLA makes of the loops, counted: batch and time in any order cost nothing inside them."""

import jax
import jax.numpy as jnp
import pytest
from tables import label

import jaxrnn

TIME, ROWS, WIDTH = 20, 6, 8


def program(cell, time_axis):
    """The compiled gradient of all there is, of two layers."""
    network = jaxrnn.stack(cell, cell)
    params = network.init(jax.random.key(0))
    shape = (TIME, ROWS, WIDTH) if time_axis == 0 else (ROWS, TIME, WIDTH)

    def values_and_gradients(params, xs, probe):
        def run(params, xs):
            return jaxrnn.unroll(network, params, xs, time_axis=time_axis)[1]

        ys, pull = jax.vjp(run, params, xs)
        return ys, pull(probe)

    xs = jnp.ones(shape)
    return jax.jit(values_and_gradients).lower(params, xs, xs).compile().as_text()


@pytest.mark.parametrize("cell", [jaxrnn.LSTM(WIDTH, WIDTH), jaxrnn.GRU(WIDTH, WIDTH)], ids=label)
def test_the_order_of_batch_and_time_leaves_the_loops_as_they_are(load, cell):
    loops = load("program").loops
    time_first, batch_first = (program(cell, axis) for axis in (0, 1))
    assert loops(batch_first) == loops(time_first)
    assert sum(loop["transpositions"] for loop in loops(time_first)) == 0
