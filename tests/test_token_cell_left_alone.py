"""Where tokens are not looked up, since what a cell makes of them cannot be taken apart."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from comparison import assert_close
from looked_up import TOKENS, WIDTH, embedded, looks_up, pulled, some_tokens
from tables import ManualLeaky

import jaxrnn
from jaxrnn.folds import automatic, scan


def test_who_hides_the_cotangent_of_drives_is_left_alone():
    """Else gradients would be wrong: nothing says that `backward` gives that cotangent."""

    @dataclasses.dataclass(frozen=True, repr=False)
    class Doubled(jaxrnn.LSTM):
        def backward(self, params, residual, d_carry, d_y):
            d_carry, d_drive = super().backward(params, residual, d_carry, d_y)
            return d_carry, 2 * d_drive

        def gradients(self, params, xs, residuals, d_drives):
            return super().gradients(params, xs, residuals, d_drives / 2)

    for layer in (
        ManualLeaky(WIDTH),
        Doubled(WIDTH, 6),
        jaxrnn.Zoneout(jaxrnn.LSTM(WIDTH, 6), 0.1),
    ):
        network = embedded(layer)
        params = network.init(jax.random.key(0))
        assert layer.knows_backward and not looks_up(network)
        assert_close(pulled(network, params, automatic), pulled(network, params, scan))


def test_a_cell_that_fails_is_named():
    @dataclasses.dataclass(frozen=True, repr=False)
    class TooWide(jaxrnn.Elman):
        def project(self, params, xs):
            return super().project(params, jnp.concatenate([xs, xs], axis=-1))

    network = jaxrnn.stack(jaxrnn.Embedding(TOKENS, WIDTH), TooWide(WIDTH, 6))
    params = network.init(jax.random.key(0))
    with pytest.raises(TypeError, match=r"TooWide.*one instant failed"):
        jaxrnn.unroll(network, params, some_tokens())


def test_subclasses_that_do_more_are_left_alone():
    class Shifted(jaxrnn.Embedding):
        def apply(self, params, carry, xs, fold, context):
            carry, ys = super().apply(params, carry, xs, fold, context)
            return carry, ys + 1

    class Doubling(jaxrnn.WeightDrop):
        def apply(self, params, carry, xs, fold, context):
            carry, ys = super().apply(params, carry, xs, fold, context)
            return carry, 2 * ys

    for layers in (
        (Shifted(TOKENS, WIDTH), jaxrnn.GRU(WIDTH, 4)),
        (jaxrnn.Embedding(TOKENS, WIDTH), Doubling(jaxrnn.GRU(WIDTH, 4), 0.5)),
    ):
        network = jaxrnn.stack(*layers)
        params = network.init(jax.random.key(0))
        assert not looks_up(network)
        assert_close(pulled(network, params, automatic), pulled(network, params, scan))


def test_a_parameter_of_both_is_left_alone():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Biased(jaxrnn.Elman):
        """A bias read twice, in `project` and in `step`; half of it in each."""

        def project(self, params, xs):
            return super().project(params._replace(bias=params.bias / 2), xs)

        def step(self, params, carry, drive):
            return super().step(
                params, carry, drive + jnp.broadcast_to(params.bias / 2, drive.shape)
            )

        def forward(self, params, carry, drive):
            return super().forward(
                params, carry, drive + jnp.broadcast_to(params.bias / 2, drive.shape)
            )

        def backward(self, params, residual, d_carry, d_y):
            return super().backward(params, residual, d_carry, d_y)

        def drive_cotangent(self, d_drives):
            return d_drives

    network = embedded(Biased(WIDTH, 6))
    params = network.init(jax.random.key(0))
    assert network.layers[1].knows_backward and not looks_up(network)
    assert_close(pulled(network, params, automatic), pulled(network, params, scan))


@dataclasses.dataclass(frozen=True, repr=False)
class MultipliedInStep(jaxrnn.ManualCell):
    """h' = tanh(x W + h R), all of it in the loop, so that the gradient of W wants the inputs."""

    input_size: int

    def init(self, key):
        kernels = jax.random.normal(key, (2, self.input_size, self.input_size))
        return {"input": kernels[0], "recurrent": kernels[1]}

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.input_size))

    def step(self, params, carry, drive):
        h = jnp.tanh(drive @ params["input"] + carry @ params["recurrent"])
        return h, h

    def forward(self, params, carry, drive):
        h, y = self.step(params, carry, drive)
        return h, y, (carry, 1 - h * h)

    def backward(self, params, residual, d_carry, d_y):
        d = (d_carry + d_y) * residual[1]
        return d @ params["recurrent"].T, (d, d @ params["input"].T)

    def gradients(self, params, xs, residuals, d_drives):
        def contracted(xs):
            return jnp.einsum("...i,...j->ij", xs, d_drives[0])

        return {"input": contracted(xs), "recurrent": contracted(residuals[0])}, d_drives[1]

    def drive_cotangent(self, d_drives):
        return d_drives[1]


def test_who_multiplies_the_input_in_the_loop_is_left_alone():
    network = embedded(MultipliedInStep(WIDTH))
    params = network.init(jax.random.key(0))
    assert not looks_up(network)
    assert_close(pulled(network, params, automatic), pulled(network, params, scan))
