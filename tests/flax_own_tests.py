"""A plugin of pytest that puts jaxrnn's cells in the place of Flax's, for Flax's own tests.

`pytest -p flax_own_tests` of the test files in Flax's source distribution then tests our adapters;
`test_interop_flax_own.py` does so. Behind Flax's constructors stand `LinenCell` and `NnxCell`.
"""

import collections

import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

import jaxrnn
from jaxrnn.interop.flax import LinenCell, NnxCell

LAYOUT = "asserts the names and shapes of Flax's own parameters"
COPIES = "copies parameters by Flax's names from linen into nnx"

# What is not run, and why. Names are those of Flax 0.12.
DESELECTED = {
    "RNNTest::test_rnn_basic_forward": LAYOUT,
    "RNNTest::test_rnn_multiple_batch_dims": LAYOUT,
    "RNNTest::test_rnn_unroll": LAYOUT,
    "RNNTest::test_rnn_time_major": LAYOUT,
    "RNNTest::test_rnn_with_spatial_dimensions": "of ConvLSTMCell; there is no such cell here",
    "TestLSTMCell::test_lstm_equivalence_with_flax_linen": COPIES,
    "TestRNN::test_rnn_equivalence_with_flax_linen": COPIES,
    "TestLSTMCell::test_lstm_with_custom_activations": "gates of relu and elu; ours are fixed",
}

_instants: collections.Counter = collections.Counter()


class _LinenShim(nn.RNNCellBase):
    """A cell of ours that takes Flax's `features`, and the width of its input from the input."""

    features: int

    @nn.compact
    def __call__(self, carry, inputs):
        _instants["linen"] += 1
        return LinenCell(self.of(inputs.shape[-1]), name="cell")(carry, inputs)

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        cell = LinenCell(self.of(input_shape[-1]), parent=None)
        return cell.initialize_carry(rng, input_shape)

    @property
    def num_feature_axes(self):
        return 1


class _LinenLSTM(_LinenShim):
    @nn.nowrap
    def of(self, width):
        return jaxrnn.LSTM(width, self.features)


class _NnxShim(NnxCell):
    """A cell of ours that takes Flax's sizes and dtypes."""

    def __init__(self, in_features, hidden_features, *, rngs, dtype=None, param_dtype=jnp.float32):
        if dtype not in (None, param_dtype):
            raise ValueError("our cells compute in the dtype of their parameters")
        cell = self.kind(in_features, hidden_features)
        super().__init__(cell, rngs=rngs, param_dtype=param_dtype)

    def __call__(self, carry, inputs):
        _instants["nnx"] += 1
        # Some of the tests feed integers, which Flax promotes and jaxrnn refuses.
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            inputs = inputs.astype(jnp.float32)
        return super().__call__(carry, inputs)


class _NnxLSTM(_NnxShim):
    kind = jaxrnn.LSTM


class _NnxGRU(_NnxShim):
    kind = jaxrnn.GRU


def pytest_configure():
    nn.LSTMCell = _LinenLSTM
    nnx.LSTMCell = nnx.OptimizedLSTMCell = _NnxLSTM
    nnx.GRUCell = _NnxGRU


def pytest_collection_modifyitems(config, items):
    gone = [item for item in items if item.nodeid.split("::", 1)[1] in DESELECTED]
    items[:] = [item for item in items if item not in gone]
    config.hook.pytest_deselected(items=gone)


def pytest_terminal_summary(terminalreporter):
    for library in ("linen", "nnx"):
        terminalreporter.write_line(f"instants of our cells in {library}: {_instants[library]}")
