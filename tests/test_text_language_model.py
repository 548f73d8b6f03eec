import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import jaxrnn
from jaxrnn import model_file, text
from jaxrnn.errors import CorpusError, InputError, MissingExtraError, ModelFileError, NonFiniteError
from jaxrnn.training import cross_entropy

VOCABULARY = text.CharVocabulary("\nabcdefé")
NETWORK = jaxrnn.stack(jaxrnn.Embedding(8, 4), jaxrnn.LSTM(4, 6), jaxrnn.Linear(6, 8))
TINY = text.TrainConfig(steps=10, batch=2, window=5, report_every=4)


@pytest.fixture
def params(key):
    # Scaled up, so that predictions are far from uniform and a wrong carry changes the text.
    return jax.tree.map(lambda leaf: 3 * leaf, NETWORK.init(key))


def written(params, prompts=("abc",), length=50, seed=1, temperature=1.0, chunk=32):
    key = jax.random.key(seed)
    pieces = text.generate(
        NETWORK, params, VOCABULARY, list(prompts), length, key, temperature, chunk
    )
    return ["".join(stream) for stream in zip(*pieces, strict=True)]


def test_text_does_not_depend_on_the_chunk(params):
    expected = written(params)
    assert len(expected[0]) == 50
    assert written(params) == expected
    for chunk in (1, 7, 50, 64):
        assert written(params, chunk=chunk) == expected
    assert written(params, seed=2) != expected
    assert written(params, length=20) == [expected[0][:20]]


def test_streams_differ_but_each_is_what_its_place_says(params):
    same = written(params, prompts=["abc", "abc", "fé"])
    assert len(set(same)) == 3
    assert same[0] == written(params)[0]


def test_temperature_zero_is_the_most_likely_character(params):
    """Reading the finished text, the network expects at each place what was written there."""
    (found,) = written(params, temperature=0)
    _, logits = jaxrnn.unroll(NETWORK, params, VOCABULARY.encode("abc" + found))
    assert VOCABULARY.decode(logits.argmax(-1))[2:-1] == found
    assert written(params, temperature=0, seed=2) == [found]


def test_frequencies_are_those_of_the_softmax():
    """Without a carry each character is an independent draw from softmax(logits / temperature)."""
    network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.Linear(3, 3))
    logits = jnp.array([0.0, 1.0, 2.0])
    params = jax.tree.map(jnp.zeros_like, network.init(jax.random.key(0)))
    params = params._replace(layers=((), params.layers[1]._replace(bias=logits)))
    vocabulary = text.CharVocabulary("abc")
    for temperature in (0.5, 2.0):
        pieces = text.generate(
            network, params, vocabulary, ["a"] * 10, 2000, jax.random.key(0), temperature, 500
        )
        whole = "".join("".join(piece) for piece in pieces)
        shares = [whole.count(character) / len(whole) for character in "abc"]
        # 20,000 draws: a standard deviation of at most 0.0036
        np.testing.assert_allclose(shares, jax.nn.softmax(logits / temperature), atol=0.015)


def test_another_temperature_compiles_nothing(params):
    from jaxrnn.text import sampling

    written(params, temperature=0.3)
    before = sampling._write._cache_size()
    written(params, temperature=0.9)
    assert sampling._write._cache_size() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompts": []},
        {"prompts": [""]},
        {"length": -1},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"chunk": 0},
        {"prompts": ["x"]},
    ],
    ids=repr,
)
def test_bad_requests_are_refused_before_any_text(params, wrong):
    with pytest.raises(InputError):
        written(params, **wrong)


def test_a_broken_model_is_not_sampled(params):
    with pytest.raises(NonFiniteError, match="no finite"):
        written(jax.tree.map(lambda leaf: leaf * jnp.nan, params))


def test_a_bfloat16_model_writes(params):
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    (found,) = written(narrow)
    assert len(found) == 50 and len(set(found)) > 2


def test_length_zero_writes_nothing(params):
    assert written(params, length=0) == []


def test_bytes_never_show_broken_characters(key):
    """A model that writes é again and again, one byte at a time."""
    network = jaxrnn.stack(jaxrnn.OneHot(256), jaxrnn.Linear(256, 256))
    params = jax.tree.map(jnp.zeros_like, network.init(key))
    kernel = params.layers[1].kernel.at[195, 169].set(9.0).at[169, 195].set(9.0)
    params = params._replace(layers=((), params.layers[1]._replace(kernel=kernel)))
    pieces = text.generate(network, params, text.ByteVocabulary(), ["é"], 10, key, 0.0, chunk=1)
    assert [piece for (piece,) in pieces] == ["", "é"] * 5


def test_evaluation_reads_the_text_as_one_stream(params):
    tokens = np.random.default_rng(0).integers(8, size=100)
    _, logits = jaxrnn.unroll(NETWORK, params, tokens[:-1])
    expected = float(cross_entropy(logits, tokens[1:]))
    for window in (1, 7, 33, 99, 1000):
        found = text.evaluate(NETWORK, params, tokens, window)
        assert found == pytest.approx(expected, rel=1e-12)


def test_evaluation_of_bad_input(params):
    with pytest.raises(CorpusError, match="at least 2"):
        text.evaluate(NETWORK, params, [1])
    with pytest.raises(InputError, match="positive"):
        text.evaluate(NETWORK, params, [1, 2], window=0)


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("embedding_size", [0, 3])
def test_networks(key, cell, embedding_size):
    config = text.ModelConfig(cell, layers=2, hidden_size=4, embedding_size=embedding_size)
    network = text.build_network(config, 8)
    _, logits = jaxrnn.unroll(network, network.init(key), jnp.zeros((5, 2), int))
    assert logits.shape == (5, 2, 8) and len(network.layers) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        text.ModelConfig(layers=0),
        text.ModelConfig(hidden_size=-1),
        text.ModelConfig(embedding_size=-1),
        text.TrainConfig(steps=0),
        text.TrainConfig(batch=0),
        text.TrainConfig(learning_rate=math.nan),
        text.TrainConfig(report_every=0),
    ],
    ids=repr,
)
def test_sizes_must_be_positive(wrong):
    with pytest.raises(InputError, match="give"):
        if isinstance(wrong, text.ModelConfig):
            text.build_network(wrong, 8)
        else:
            text.fit(NETWORK, wrong, PATTERN, PATTERN)


PATTERN = VOCABULARY.encode("abcdefé\n" * 20)


def test_fit_learns_reports_and_repeats():
    config = text.TrainConfig(steps=90, batch=2, window=8, learning_rate=2e-2, report_every=40)
    reports = list(text.fit(NETWORK, config, PATTERN, PATTERN[:40]))
    assert [report.step for report in reports] == [40, 80, 90]
    assert reports[0].loss > reports[1].loss > reports[2].loss
    assert reports[-1].validation_loss < 0.5
    found = text.evaluate(NETWORK, reports[-1].params, PATTERN[:40])
    assert found == pytest.approx(reports[-1].validation_loss)
    assert all(report.gradient_norm > 0 < report.tokens_per_second for report in reports)
    again = list(text.fit(NETWORK, config, PATTERN, PATTERN[:40]))
    assert [report.loss for report in again] == [report.loss for report in reports]


def test_fit_takes_any_fold():
    """By hand and by JAX, the same training."""
    by_hand, by_jax = (
        list(text.fit(NETWORK, TINY, PATTERN, PATTERN[:40], fold=fold))
        for fold in (jaxrnn.folds.bptt, jaxrnn.folds.scan)
    )
    for left, right in zip(by_hand, by_jax, strict=True):
        assert left.loss == pytest.approx(right.loss, rel=1e-10)
        assert left.gradient_norm == pytest.approx(right.gradient_norm, rel=1e-8)


def test_fit_needs_enough_text():
    with pytest.raises(CorpusError, match="at least 11"):
        text.fit(NETWORK, TINY, PATTERN[:10], PATTERN)


def test_non_finite_training_names_the_step_and_leaves_good_parameters(monkeypatch):
    """Step 7 spoils the parameters: its own loss cannot show that, but a report must not either."""
    from jaxrnn.text import fitting

    make = fitting.make_update

    def poisoned(loss_fn, optimizer):
        update = make(loss_fn, optimizer)

        def spoiled(state, batch):
            state, metrics = update(state, batch)
            bad = jnp.where(state.step == 7, jnp.nan, 1.0)
            return state._replace(params=jax.tree.map(lambda p: p * bad, state.params)), metrics

        return spoiled

    monkeypatch.setattr(fitting, "make_update", poisoned)
    monkeypatch.setattr(fitting, "_train_steps", fitting._train_steps.__wrapped__)
    for report_every, last_good in ((4, 4), (7, None), (3, 6)):
        config = text.TrainConfig(steps=20, batch=2, window=5, report_every=report_every)
        reports = []
        with pytest.raises(NonFiniteError) as caught:
            for report in text.fit(NETWORK, config, PATTERN, PATTERN):
                reports.append(report)
        # A validation right after step 7 sees it first, else the loss of step 8 does.
        assert caught.value.step == (7 if report_every == 7 else 8)
        assert str(caught.value.step) in str(caught.value)
        assert (reports[-1].step if reports else None) == last_good
        for report in reports:
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(report.params))


def test_a_huge_learning_rate_is_caught():
    config = text.TrainConfig(steps=20, batch=2, window=5, learning_rate=1e308, report_every=1)
    with pytest.raises(NonFiniteError, match="lower learning rate"):
        list(text.fit(NETWORK, config, PATTERN, PATTERN))


def test_sampling_from_the_file_equals_sampling_from_memory(tmp_path, params):
    path = tmp_path / "model.safetensors"
    text.save(path, text.LanguageModel(NETWORK, params, VOCABULARY), step=3)
    network, loaded, vocabulary = text.load(path)
    assert (network, vocabulary) == (NETWORK, VOCABULARY)
    assert written(loaded, length=200) == written(params, length=200)


def test_files_without_a_language_model(tmp_path, key):
    path = tmp_path / "model.safetensors"
    cell = jaxrnn.GRU(8, 8)
    model_file.save_model(path, cell, cell.init(key))
    with pytest.raises(ModelFileError, match="without a vocabulary"):
        text.load(path)
    for vocabulary, message in (
        (text.ByteVocabulary(), "256 tokens"),
        (VOCABULARY, "8 tokens"),  # as many as there are, but the network reads vectors
    ):
        text.save(path, text.LanguageModel(cell, cell.init(key), vocabulary))
        with pytest.raises(ModelFileError, match=message):
            text.load(path)


REPORT = text.Report(50, 2.0, 0.5, 2.1, 10_000.0, params={"w": jnp.zeros(1)})


def test_progress_on_a_terminal_is_a_live_bar(tmp_path):
    with (tmp_path / "screen").open("w+") as screen:
        console = Console(file=screen, force_terminal=True, width=120)
        with text.progress(100, console) as show:
            show(REPORT)
            time.sleep(0.2)
            show(REPORT._replace(step=60))
        screen.seek(0)
        shown = screen.read()
    assert "\x1b[" in shown and "━" in shown and "0:00:0" in shown  # moves, a bar, the time left
    assert "60/100" in shown and "2.000 nats" in shown and "2.885 bits" in shown


def test_progress_elsewhere_is_one_plain_line_per_report(tmp_path):
    with (tmp_path / "pipe").open("w+") as pipe:
        with text.progress(100, Console(file=pipe)) as show:
            show(REPORT)
            show(REPORT._replace(step=100))
        pipe.seek(0)
        lines = pipe.read().splitlines()
    assert len(lines) == 2 and "\x1b" not in "".join(lines)
    assert lines[1].startswith("step 100/100") and "10,000 chars/s" in lines[1]


def test_metrics_are_json_lines_that_can_be_followed(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with text.metrics_file(path) as write:
        write(REPORT)
        assert len(path.read_text().splitlines()) == 1  # there before the file is closed
        write(REPORT._replace(step=100))
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["step"] == 50 and second["step"] == 100
    assert first["loss_bits"] == pytest.approx(2.0 / math.log(2)) and "params" not in first
    with pytest.raises(InputError, match="cannot be written"), text.metrics_file(tmp_path):
        pass


def test_the_picture_of_the_losses(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    path = tmp_path / "losses.png"
    text.plot_losses(path, [REPORT, REPORT._replace(step=100, loss=1.0)])
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    with pytest.raises(InputError, match="cannot be drawn"):
        text.plot_losses(tmp_path / "none" / "losses.png", [REPORT])
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[plot\]'"):
        text.plot_losses(path, [REPORT])
