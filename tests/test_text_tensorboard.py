"""What TensorBoard is given, read back from its files."""

import math
import struct
import sys

import numpy as np
import pytest

from jaxrnn import text
from jaxrnn.errors import InputError, MissingExtraError, SaveError

TOKENS = np.tile([0, 1, 2, 3, 1], 40)
CONFIG = text.TrainConfig(
    steps=6, batch=2, window=6, report_every=2, learning_rate=1e-2, warmup=2, average="since"
)
TAGS = {
    *("loss/training", "loss/validation", "gradient_norm", "update_ratio", "learning_rate"),
    *("skipped", "tokens_per_second"),
}


@pytest.fixture(scope="module")
def reports():
    network = text.build_network(text.ModelConfig(layers=1, hidden_size=5, embedding_size=3), 4)
    return list(text.fit(network, CONFIG, TOKENS, TOKENS[:20]))


def events(folder):
    """What is in the files of a folder, in TensorBoard's order, every checksum looked at."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        raw = path.read_bytes()
        while raw:
            (length,) = struct.unpack("<Q", raw[:8])
            for piece, end in ((raw[:8], 12), (raw[12 : 12 + length], 16 + length)):
                assert struct.unpack("<I", raw[end - 4 : end])[0] == masked_crc32c(piece)
            yield event_pb2.Event.FromString(raw[12 : 12 + length])
            raw = raw[16 + length :]


def shown(folder):
    """Figures by tag and step, as TensorBoard shows them: a beginning voids what was later."""
    found = {}
    for event in events(folder):
        if event.HasField("session_log"):
            found = {key: figure for key, figure in found.items() if key[1] < event.step}
        for value in event.summary.value:
            assert (value.tag, event.step) not in found
            found[value.tag, event.step] = value.simple_value
    return found


def test_every_figure_is_there_and_no_step_twice(tmp_path, reports):
    with text.tensorboard(tmp_path, CONFIG) as write:
        for report in reports:
            write(report)
            assert shown(tmp_path)["skipped", report.step] == 0  # at once, not at the end
    expected = shown(tmp_path)
    assert set(expected) == {(tag, step) for tag in TAGS for step in (2, 4, 6)}
    for report in reports:
        for tag, figure in {
            "loss/training": report.loss,
            "loss/validation": report.validation_loss,
            "gradient_norm": report.gradient_norm,
            "update_ratio": report.update_ratio,
            "tokens_per_second": report.tokens_per_second,
            "learning_rate": text.learning_rate(CONFIG)(report.step - 1),
        }.items():
            assert expected[tag, report.step] == pytest.approx(float(figure), rel=1e-6)
    # Killed when step 6 was written, and step 2 was the last checkpoint.
    with text.tensorboard(tmp_path, CONFIG, after=2) as write:
        assert {step for _, step in shown(tmp_path)} == {2}
        for report in reports[1:]:
            write(report)
    assert shown(tmp_path) == expected
    # Another training in the same folder.
    with text.tensorboard(tmp_path, CONFIG) as write:
        assert not shown(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_updates_that_were_left_out_lower_no_learning_rate(tmp_path, reports):
    late = reports[-1]._replace(step=1000, loss=math.nan, skipped=994)
    with text.tensorboard(tmp_path, CONFIG) as write:
        write(late)
    figures = shown(tmp_path)
    assert ("loss/training", 1000) not in figures and figures["skipped", 1000] == 994
    assert figures["learning_rate", 1000] == pytest.approx(float(text.learning_rate(CONFIG)(5)))


def test_places_and_disks_that_take_nothing(tmp_path, reports, monkeypatch):
    (tmp_path / "file").touch()
    for place in ("file", "file/below", "nul\0"):
        with pytest.raises(InputError, match="cannot be written for TensorBoard"):
            with text.tensorboard(tmp_path / place, CONFIG):
                pass
    with pytest.raises(SaveError, match="step 6 cannot be written for TensorBoard"):
        with text.tensorboard(tmp_path / "full", CONFIG) as write:
            from tensorboardX import record_writer

            def full(descriptor):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(record_writer.os, "fsync", full)
            write(reports[-1])


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.record_writer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[tensorboard\]'"):
        with text.tensorboard(tmp_path / "new", CONFIG):
            pass
    assert not list(tmp_path.iterdir())
