import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrnn
from jaxrnn.errors import CorpusError, InputError
from jaxrnn.training import contiguous_windows, sliding_windows

sizes = st.integers(1, 6)


@given(batch=sizes, length=sizes, extra=st.integers(0, 50))
@settings(deadline=None)
def test_contiguous_windows_join_to_streams_without_wrapping(batch, length, extra):
    tokens = np.arange(batch * length + 1 + extra)
    inputs, targets = contiguous_windows(tokens, batch, length)
    assert inputs.shape == targets.shape == (len(inputs), length, batch)
    np.testing.assert_array_equal(targets, inputs + 1)  # the next instant, never the first one
    streams = inputs.reshape(-1, batch).T
    # End to end, the streams are the text itself, and less than one row of windows is left over.
    np.testing.assert_array_equal(streams.ravel(), tokens[: inputs.size])
    assert len(tokens) - 1 - inputs.size < batch * length


@given(length=sizes, stride=sizes, extra=st.integers(0, 30))
@settings(deadline=None)
def test_sliding_windows_are_slices(length, stride, extra):
    tokens = np.arange(length + 1 + extra)
    inputs, targets = sliding_windows(tokens, length, stride)
    starts = range(0, len(tokens) - length, stride)
    assert inputs.shape == (length, len(starts))
    for window, start in enumerate(starts):
        np.testing.assert_array_equal(inputs[:, window], tokens[start : start + length])
        np.testing.assert_array_equal(targets[:, window], tokens[start + 1 : start + length + 1])


def test_windows_keep_features_last():
    xs = np.random.default_rng(0).normal(size=(20, 3))
    inputs, targets = contiguous_windows(xs, batch=2, length=4)
    np.testing.assert_array_equal(inputs[1][:, 1], xs[12:16])
    np.testing.assert_array_equal(targets[1][:, 1], xs[13:17])
    inputs, _ = sliding_windows(xs, length=4)
    np.testing.assert_array_equal(inputs[:, 5], xs[5:9])


def test_handing_the_carry_on_equals_one_long_sequence(key):
    cell = jaxrnn.GRU(3, 5)
    params = cell.init(key)
    xs = jax.random.normal(key, (25, 3))
    inputs, _ = contiguous_windows(xs, batch=2, length=4)
    carry, pieces = None, []
    for window in inputs:
        carry, ys = jaxrnn.unroll(cell, params, window, carry)
        pieces.append(ys)
    whole = [jaxrnn.unroll(cell, params, part)[1] for part in (xs[:12], xs[12:24])]
    np.testing.assert_allclose(jnp.concatenate(pieces), jnp.stack(whole, axis=1), atol=1e-14)


def test_too_short_a_sequence_says_how_much_is_needed():
    with pytest.raises(CorpusError, match=r"8 tokens.*2 streams of 4.*at least 9"):
        contiguous_windows(np.arange(8), batch=2, length=4)
    contiguous_windows(np.arange(9), batch=2, length=4)
    with pytest.raises(CorpusError, match=r"4 tokens.*at least 5"):
        sliding_windows(np.arange(4), length=4)


@pytest.mark.parametrize("sizes", [(0, 1), (1, -1), (2.5, 3), (1, "2"), (True, 3)])
def test_sizes_must_be_positive(sizes):
    with pytest.raises(InputError, match="give a positive integer"):
        contiguous_windows(np.arange(9), *sizes)
    with pytest.raises(InputError, match="positive"):
        sliding_windows(np.arange(9), length=2, stride=0)
