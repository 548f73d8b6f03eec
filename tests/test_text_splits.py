import numpy as np
import pytest

from jaxrnn.errors import CorpusError, InputError
from jaxrnn.text import split_80_10_10, split_90_10, split_columns_95_5, training_windows


def test_parts_of_one_piece_join_to_the_text():
    for length in (20, 109, 1000):
        tokens = np.arange(length)
        for split in (split_90_10, split_80_10_10):
            parts = split(tokens)
            np.testing.assert_array_equal(np.concatenate(parts[:3]), tokens)
    assert [len(part) for part in split_80_10_10(np.arange(109))[:3]] == [89, 10, 10]
    assert [len(part) for part in split_90_10(np.arange(109))[:3]] == [98, 11, 0]


def char_rnn(tokens, batch, length):
    """The loader of char-rnn, read off its source: batches of inputs and of targets, two parts."""
    used = tokens[: len(tokens) // (batch * length) * batch * length]
    targets = np.append(tokens[1 : len(used)], tokens[len(used)])  # there: used[0], a wrong one
    batches = [
        list(np.split(part.reshape(batch, -1), len(used) // (batch * length), axis=1))
        for part in (used, targets)
    ]
    train = int(len(batches[0]) * 0.95)
    return [[part[:train], part[train:]] for part in batches]


@pytest.mark.parametrize(("size", "batch", "length"), [(1000, 3, 7), (421, 4, 5), (5003, 50, 2)])
def test_columns_are_those_of_char_rnn(size, batch, length):
    tokens = np.random.default_rng(0).permutation(size)
    split = split_columns_95_5(tokens, batch, length)
    inputs, targets = char_rnn(tokens, batch, length)
    for number, part in enumerate((split.train, split.validation)):
        windows = training_windows(part, batch, length)
        assert len(windows) == len(inputs[number])
        for place, window in enumerate(windows):
            np.testing.assert_array_equal(window.inputs, inputs[number][place].T)
            np.testing.assert_array_equal(window.targets, targets[number][place].T)
    assert str(batch) in split.name and str(length) in split.name and "char-rnn" in split.name


def test_a_column_without_a_true_target_is_left_out():
    """Exactly three columns: what follows the last token is not known."""
    assert split_columns_95_5(np.arange(30), 2, 5).validation[-1].tolist() == [10, 20]


def test_too_little_text_or_wrong_numbers():
    with pytest.raises(CorpusError, match="needs at least 2"):
        split_80_10_10(np.arange(19))
    with pytest.raises(CorpusError, match="needs at least 2"):
        split_90_10(np.arange(10))
    with pytest.raises(CorpusError, match="need at least 41"):
        split_columns_95_5(np.arange(40), 4, 5)
    for wrong in ({"streams": 0}, {"length": -1}):
        with pytest.raises(InputError, match="positive"):
            split_columns_95_5(np.arange(100), **wrong)
    with pytest.raises(InputError, match="made 2 streams, but the batch is 4"):
        training_windows(np.zeros((9, 2), int), 4, 2)
