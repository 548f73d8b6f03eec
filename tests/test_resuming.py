"""Training that is stopped and goes on is the training that was never stopped, byte for byte."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import text
from jaxrnn.checkpoint import open_checkpoints
from jaxrnn.errors import CheckpointError, CorruptFileError, NonFiniteError

WRITTEN = "the quick brown fox jumps over the lazy dog\n" * 12
CORPUS = text.Corpus(WRITTEN, "foxes")
VOCABULARY = text.CharVocabulary.from_text(WRITTEN)
PARTS = text.split(VOCABULARY.encode(WRITTEN), 0.2)
SMALL = text.ModelConfig(layers=1, hidden_size=6, embedding_size=4)
# A pass over the text is 9 windows: the carry begins anew within.
CONFIG = text.TrainConfig(steps=14, batch=3, window=15, report_every=4, learning_rate=1e-2)


class Run:
    """Training in a folder, as the command line does it."""

    def __init__(self, folder, config=CONFIG, model=SMALL, corpus=CORPUS, network=None):
        self.folder, self.config, self.metrics = folder, config, folder / "metrics.jsonl"
        self.network = network or text.build_network(model, VOCABULARY.size)
        self.record = text.training_record(self.network, VOCABULARY, config, corpus, PARTS)

    def train(self, stop_after=(), save_every=4):
        """Train, asked to stop after some steps; return the reports and the notes."""
        reports, notes = [], []
        for stop in (*stop_after, None):
            with open_checkpoints(self.folder / "all") as checkpoints:
                start = text.Beginning()
                if checkpoints.steps():
                    start = text.resume(
                        checkpoints, self.metrics, self.record, self.network, self.config
                    )
                done = int(start.point.state.step) if start.point else 0
                asked = iter(range(done, 10_000))
                running = text.fit(
                    *(self.network, self.config, *PARTS[:2]),
                    start=start.point,
                    stop=lambda asked=asked, stop=stop: next(asked) == stop,
                )
                notes += start.notes
                try:
                    reports += text.kept(
                        *(running, checkpoints, self.metrics, self.record, self.config),
                        save_every=save_every,
                        metrics_bytes=start.metrics_bytes,
                    )
                except text.Stopped as stopped:
                    assert int(stopped.point.state.step) == stop
        return reports, notes

    def outcome(self):
        """Bytes of everything at the end: parameters, optimizer state, carry; metrics; text."""
        model = text.load(self.folder / "all" / str(self.config.steps))
        pieces = text.generate(*model, ["the "], 30, jax.random.key(1), 0.8)
        with open_checkpoints(self.folder / "all") as checkpoints:
            start = text.resume(checkpoints, self.metrics, self.record, self.network, self.config)
        leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(start.point)]
        return leaves, self.metrics.read_bytes(), "".join(piece for (piece,) in pieces)


COMBINATIONS = [
    ({"cell": "gru"}, {"optimizer": "adam", "average": "exponential", "warmup": 3}),
    ({"cell": "lstm", "dropout": 0.2, "weight_drop": 0.3}, {"optimizer": "adamw", "accumulate": 3}),
    ({"cell": "elman", "locked_dropout": 0.2}, {"optimizer": "rmsprop", "decay": "linear"}),
]
MORE_COMBINATIONS = [
    ({"precision": "bfloat16"}, {"optimizer": "momentum", "average": "since", "average_since": 5}),
    ({"embedding_size": 0, "layers": 2}, {"optimizer": "adagrad"}),
    ({"dropout": 0.1}, {"optimizer": "sgd", "decay": "constant"}),
]


@pytest.mark.parametrize(
    ("model", "training"),
    COMBINATIONS + [pytest.param(*pair, marks=pytest.mark.slow) for pair in MORE_COMBINATIONS],
    ids=str,
)
def test_stopping_changes_nothing(tmp_path, model, training):
    config = dataclasses.replace(CONFIG, **training)
    model = dataclasses.replace(SMALL, **model)
    for name, stops in {"once": (), "often": (1, 6, 8, 13)}.items():
        (tmp_path / name).mkdir()
        run = Run(tmp_path / name, config, model)
        reports, notes = run.train(stops)
        assert [report.step for report in reports] == [4, 8, 12, 14] and not notes
    once, often = (Run(tmp_path / name, config, model).outcome() for name in ("once", "often"))
    assert once == often
    assert len(once[1].splitlines()) == 4 and len(once[2]) == 30


def test_another_training_is_refused_with_what_differs(tmp_path):
    Run(tmp_path).train()
    for other, clause in {
        "corpus.sha256": {"corpus": text.Corpus(WRITTEN + ".", "foxes")},
        "network.layers[1].hidden_size is 6 in the checkpoint, and 7": {
            "model": dataclasses.replace(SMALL, hidden_size=7)
        },
        "training.optimizer is 'adam' in the checkpoint, and 'sgd' here": {
            "config": dataclasses.replace(CONFIG, optimizer="sgd")
        },
    }.items():
        run = Run(tmp_path, **clause)
        with pytest.raises(CheckpointError) as caught:
            run.train()
        assert other in str(caught.value) and "another --out" in str(caught.value)
    run = Run(tmp_path)
    run.record["vocabulary"] = text.ByteVocabulary().describe()
    with pytest.raises(CheckpointError, match="vocabulary.type is 'CharVocabulary'"):
        run.train()


def test_a_constant_rate_goes_on_for_as_long_as_one_likes(tmp_path):
    config = dataclasses.replace(CONFIG, decay="constant", steps=8)
    Run(tmp_path, config).train()
    longer = Run(tmp_path, dataclasses.replace(config, steps=14))
    reports, _ = longer.train()
    assert [report.step for report in reports] == [12, 14]
    (tmp_path / "once").mkdir()
    once = Run(tmp_path / "once", longer.config)
    once.train()
    assert once.outcome() == longer.outcome()


def test_metrics_that_were_changed_are_not_cut(tmp_path):
    run = Run(tmp_path)
    run.train((9,))
    run = Run(tmp_path)
    run.metrics.write_text("mine\n")
    run.train((5,))  # after what was saved at 14: nothing is left to be done
    assert run.metrics.read_text() == "mine\n"


def test_a_torn_metrics_file_is_mended(tmp_path):
    """A kill between two checkpoints: lines after the last of them, and half a line."""
    for name in ("once", "torn"):
        (tmp_path / name).mkdir()
    Run(tmp_path / "once").train()
    run = Run(tmp_path / "torn")
    run.train()
    with open_checkpoints(run.folder / "all") as checkpoints:
        checkpoints._remove(checkpoints.path(14))
    with run.metrics.open("a") as file:
        file.write('{"step": 18, "lo')
    reports, notes = run.train()
    assert [report.step for report in reports] == [14] and not notes
    assert run.outcome() == Run(tmp_path / "once").outcome()


def test_damage_costs_no_more_than_an_interval(tmp_path):
    run = Run(tmp_path)
    run.train()
    whole = run.outcome()
    (tmp_path / "all" / "14" / "record" / "metadata").write_text("")
    reports, (note,) = run.train()
    assert [report.step for report in reports] == [14]
    assert "14/record/metadata' was damaged" in note and "Going on from step 12" in note
    assert run.outcome() == whole
    for path in (tmp_path / "all").rglob("seal.json"):
        path.write_text("{}")
    with pytest.raises(CorruptFileError):
        run.train()


def test_another_version_is_noted(tmp_path, monkeypatch):
    from jaxrnn.text import resuming

    run = Run(tmp_path)
    run.train((5,))
    versions = resuming._versions() | {"jax": "99.1"}
    monkeypatch.setattr(resuming, "_versions", lambda: versions)
    with open_checkpoints(run.folder / "all") as checkpoints:
        start = text.resume(checkpoints, run.metrics, run.record, run.network, run.config)
    (note,) = start.notes
    assert f"jax is '{jax.__version__}' in the checkpoint, and '99.1' here" in note


@jaxrnn.description.register
@dataclasses.dataclass(frozen=True)
class Explosive(jaxrnn.networks.Pointwise):
    """Vectors as they are, but infinite in an instant in which the first is the largest."""

    input_size: int

    @property
    def output_size(self):
        return self.input_size

    def init(self, key):
        return ()

    def map(self, params, xs):
        fuse = jax.lax.stop_gradient(xs[..., :1])
        return xs * jnp.where(fuse > 0.5, jnp.inf, 1.0).astype(xs.dtype)


def explosive():
    one_hot = jaxrnn.OneHot(VOCABULARY.size)  # the first character is the end of a line
    return jaxrnn.stack(
        one_hot, Explosive(VOCABULARY.size), jaxrnn.GRU(VOCABULARY.size, 5), jaxrnn.Linear(5, 28)
    )


def test_bad_updates_are_left_out_counted_and_survive_a_stop(tmp_path):
    """Windows with the end of a line, and only they, have no finite loss."""
    windows = jaxrnn.training.contiguous_windows(PARTS.train, 1, 15)
    bad = (windows.inputs == 0).any(axis=(1, 2))
    assert 2 < bad[:14].sum() < 12
    config = dataclasses.replace(CONFIG, batch=1, average="exponential")
    held_out = text.Split(PARTS.train, VOCABULARY.encode("brown fox"), PARTS.test, "words")

    def train(steps, start=None):
        running = text.fit(
            *(explosive(), dataclasses.replace(config, steps=steps, decay="constant")),
            *(*held_out[:2],),
            start=start,
        )
        return list(running)

    reports = train(14)
    counted = [int(bad[a:b].sum()) for a, b in ((0, 4), (4, 8), (8, 12), (12, 14))]
    assert [report.skipped for report in reports] == counted
    for report in reports:
        assert np.isfinite(report.loss) and report.update_ratio > 0
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(report.point))
    count = reports[-1].point.state.opt_state.count
    assert int(count) == 14 - sum(counted)  # the optimizer saw nothing of them
    with pytest.raises(text.Stopped) as caught:
        asked = iter(range(100))
        stopping = text.fit(
            *(explosive(), dataclasses.replace(config, steps=14, decay="constant")),
            *(*held_out[:2],),
            stop=lambda: next(asked) == 6,
        )
        list(stopping)
    again = train(14, caught.value.point)
    for left, right in zip(reports[1:], again, strict=True):
        assert left.loss == right.loss and left.skipped == right.skipped


def test_too_many_bad_updates_in_a_row_end_the_training(tmp_path):
    """Good windows, then only bad ones: the last good checkpoint stays, and is finite."""
    good, bad = "the quick fox jumps ", "\n" * 300
    tokens = VOCABULARY.encode(good * 9 + bad)
    config = dataclasses.replace(CONFIG, batch=1, steps=30, max_skipped=3, decay="constant")
    first = len(good) * 9 // 15 + 1  # the first step that reads the end of a line
    running = text.fit(explosive(), config, tokens, VOCABULARY.encode("brown fox"))
    run = Run(tmp_path, config, network=explosive())
    with open_checkpoints(tmp_path / "all") as checkpoints:
        with pytest.raises(NonFiniteError, match="at 3 steps in a row") as caught:
            list(text.kept(running, checkpoints, run.metrics, run.record, config, save_every=1000))
        assert caught.value.step == first + 2
        (kept,) = checkpoints.steps()
    assert first - 1 <= kept <= first + 2
    assert all(
        np.isfinite(x).all()
        for x in jax.tree.leaves(text.load(tmp_path / "all" / str(kept)).params)
    )
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(4, first + 2, 4))
