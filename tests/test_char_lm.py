"""The commands of `examples/char_lm.py`, as a user runs them: in processes of their own.

What they refuse, they refuse in this one.
"""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from char_lm_process import SCRIPT, SETTINGS, SMALL, WRITTEN, run, start
from compilation import QUICK

from jaxrnn import model_file, text


@pytest.fixture
def refuse(monkeypatch, capsys):
    """The one sentence with which a command refuses its arguments, called as its process does."""

    def call(folder, *arguments):
        monkeypatch.syspath_prepend(SCRIPT.parent)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["char_lm.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert stopped.value.code == 2
        _, errors = capsys.readouterr()
        assert errors.startswith("error: ") and errors.count("\n") == 1, errors
        return errors

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which `train` has run, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "fox.txt").write_text(WRITTEN)
    status, out, errors = run(folder, "train", "--text", "fox.txt", *SMALL)
    assert status == 0 and not errors, errors
    return folder, out


def test_train_reports_saves_and_writes(trained):
    folder, out = trained
    assert "2,200 characters" in out and "last 10% of the text" in out
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("step ")] == [
        *("step 10/30", "step 20/30", "step 30/30")
    ]
    metrics = [
        json.loads(line) for line in (folder / "char_lm.metrics.jsonl").read_text().splitlines()
    ]
    assert [figures["step"] for figures in metrics] == [10, 20, 30]
    assert metrics[2]["loss"] < metrics[0]["loss"]
    (loss,) = [line for line in out.splitlines() if line.startswith("validation loss on")]
    nats = metrics[-1]["validation_loss"]  # the held-out part is short enough to be read whole
    assert f"{nats:.4f} nats = {metrics[-1]['validation_loss_bits']:.4f} bits" in loss
    assert len(out.split("throughout)\n")[1]) == 1 + 40 + 1  # prompt, text, line end
    assert sorted(path.name for path in folder.iterdir()) == [
        *("char_lm.checkpoints", "char_lm.losses.png", "char_lm.metrics.jsonl"),
        *("char_lm.safetensors", "fox.txt"),
    ]


def test_training_again_gives_the_same_model(trained):
    folder, _ = trained
    status, _, _ = run(folder, "train", "--text", "fox.txt", *SMALL, "--out", "again.safetensors")
    assert status == 0
    again, first = (folder / name for name in ("again.safetensors", "char_lm.safetensors"))
    # Not the bytes of the files: safetensors writes the entries of its header in any order.
    left, right = (model_file.load_model(path) for path in (again, first))
    assert left.metadata == right.metadata
    for a, b in zip(jax.tree.leaves(left.params), jax.tree.leaves(right.params), strict=True):
        assert a.tobytes() == b.tobytes()
    shutil.rmtree(folder / "again.checkpoints")
    for path in folder.glob("again.*"):
        path.unlink()


def test_sample_writes_what_the_model_in_memory_writes(trained):
    folder, _ = trained
    status, out, errors = run(
        *(folder, "sample", "--prompt", "the ", "--length", "70", "--streams", "2"),
        *("--seed", "5", "--temperature", "0.7"),
    )
    assert status == 0 and not errors
    # As in the process that ran: float32.
    with jax.enable_x64(False):
        model = text.load(folder / "char_lm.safetensors")
        pieces = text.generate(*model, ["the "] * 2, 70, jax.random.key(5), 0.7)
        first, second = ("the " + "".join(stream) for stream in zip(*pieces, strict=True))
    assert out == f"{first}\n\n--- stream 2 ---\n{second}\n"


def test_sample_without_flags(trained):
    status, out, errors = run(trained[0], "sample")
    assert status == 0 and not errors and len(out) == 1002


def test_text_appears_as_it_is_written(trained):
    """The beginning can be read while the rest, hours of it, is still to come."""
    process = start(trained[0], "sample", "--length", "1000000000")
    try:
        assert len(process.stdout.read(200)) == 200 and process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and errors == "error: interrupted\n"


def test_a_reader_may_have_enough(trained):
    """As in `sample | head -c 100`."""
    process = start(trained[0], "sample", "--length", "1000000000")
    assert len(process.stdout.read(100)) == 100
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=300) == 0 and not errors


@pytest.mark.skipif(os.name != "posix", reason="closes the streams as a POSIX shell does")
@pytest.mark.parametrize(("closed", "length", "status"), [((1,), "5", 0), ((1, 2), "-5", 2)])
def test_closed_streams(trained, closed, length, status):
    """As in `sample >&-`."""
    closing = " ".join(f"{number}>&-" for number in closed)
    ended = subprocess.run(
        [*("sh", "-c", f'exec "$@" {closing}', "sh"), sys.executable, SCRIPT]
        + ["sample", "--length", length],
        cwd=trained[0],
        env=os.environ | SETTINGS,
        capture_output=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, b"", b"")


def test_evaluate_repeats_the_loss_of_training(trained):
    folder, printed = trained
    status, out, errors = run(folder, "evaluate", "--text", "fox.txt")
    assert status == 0 and not errors and "note: " not in out
    assert [line for line in out.splitlines() if line.startswith("validation")] == [
        line for line in printed.splitlines() if line.startswith("validation loss")
    ]


def test_a_text_may_be_prepared_and_the_figures_may_be_shown(trained):
    """The same model from the file of tokens; and figures for TensorBoard, at their steps."""
    folder, printed = trained
    status, out, errors = run(folder, "prepare", "--text", "fox.txt")
    assert status == 0 and not errors
    assert out.splitlines()[-2] == "text: 'fox.txt', 2,200 characters"
    assert "wrote 2,200 characters, 28 different ones" in out and "fox.tokens" in out
    status, out, errors = run(
        *(folder, "train", "--tokens", "fox.tokens", *SMALL, "--out", "again.safetensors"),
        *("--tensorboard", "board"),
    )
    assert status == 0 and not errors, errors
    losses = [line for line in printed.splitlines() if "loss on" in line]
    assert [line for line in out.splitlines() if "loss on" in line] == losses
    again, first = (folder / f"{name}.metrics.jsonl" for name in ("again", "char_lm"))
    assert again.read_bytes() == first.read_bytes()
    again, first = (folder / f"{name}.safetensors" for name in ("again", "char_lm"))
    left, right = (model_file.load_model(path) for path in (again, first))
    assert left.metadata == right.metadata
    for a, b in zip(jax.tree.leaves(left.params), jax.tree.leaves(right.params), strict=True):
        assert a.tobytes() == b.tobytes()
    (board,) = (folder / "board").iterdir()
    assert board.read_bytes().count(b"loss/validation") == 3
    for name in ("again.checkpoints", "board"):
        shutil.rmtree(folder / name)
    for path in [*folder.glob("again.*"), folder / "fox.tokens"]:
        path.unlink()


def test_checkpoints_are_models_too(trained, monkeypatch, capsys):
    """One checkpoint, or a folder of them, of which the newest is taken and named."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.chdir(trained[0])
    said, newest = {}, "char_lm.checkpoints"
    for model in ("char_lm.safetensors", newest, "char_lm.checkpoints/30"):
        for command in (
            *(("sample", "--length", "20"), ("score", "--sentence", "the fox")),
            ("evaluate", "--text", "fox.txt"),
        ):
            monkeypatch.setattr(sys, "argv", ["char_lm.py", *command, "--model", model])
            with pytest.raises(SystemExit) as stopped, jax.enable_x64(False):
                runpy.run_path(str(SCRIPT), run_name="__main__")
            assert stopped.value.code == 0
            out, errors = capsys.readouterr()
            assert errors == ("model: char_lm.checkpoints/30\n" if model == newest else "")
            assert said.setdefault(command, out) == out and "note: " not in out


def test_a_preparation_that_is_interrupted_leaves_nothing(tmp_path):
    (tmp_path / "long.txt").write_text(WRITTEN * 10_000)
    process = start(tmp_path, "prepare", "--text", "long.txt")
    assert process.stdout.readline() == "preparing: 10%\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143 and errors == "error: terminated\n"
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]


def test_evaluate_says_when_the_model_learned_from_something_else(trained, tmp_path):
    folder, _ = trained
    origin = "note: the model was trained on 'fox.txt', 2,200 characters, with 0.1 of it held out"
    may = "; what is measured here may include what it learned from"
    (tmp_path / "other.txt").write_text(WRITTEN)
    for arguments, ending in {
        ("--text", tmp_path / "other.txt"): may,
        ("--text", "fox.txt", "--held-out", "0.104"): may,  # it is 10% too, when rounded
        ("--text", "fox.txt", "--held-out", "0.05"): "; what is measured here is a part of that",
    }.items():
        status, out, errors = run(folder, "evaluate", *arguments)
        assert status == 0 and not errors
        (note,) = [line for line in out.splitlines() if line.startswith("note: ")]
        assert note == f"{origin} at its end{ending}"


def test_any_file_can_be_read_as_bytes(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 10)
    status, out, errors = run(tmp_path, "train", "--text", "noise", "--bytes", *SMALL)
    assert status == 0 and not errors
    assert "2,560 bytes" in out
    status, out, errors = run(tmp_path, "sample", "--prompt", "😀é", "--length", "50")
    assert status == 0 and out.startswith("😀é")
    status, out, errors = run(tmp_path, "sample", "--prompt-file", "noise", "--length", "5")
    assert status == 0 and not errors and "\x7f�" in out


def test_the_default_text_is_the_standard_library(tmp_path, monkeypatch):
    for name in QUICK:  # compiled as users have it compiled, this once
        monkeypatch.delitem(SETTINGS, name)
    status, out, errors = run(tmp_path, "train", "--limit", "20000", *SMALL, "--steps", "10")
    assert status == 0 and not errors
    assert "standard library source of Python" in out and "(limit 20,000)" in out


def test_help_and_typing_errors(refuse, tmp_path):
    status, out, _ = run(tmp_path, "--help")
    assert status == 0 and all(command in out for command in ("train", "sample", "evaluate"))
    status, out, _ = run(tmp_path, "train", "--help")
    assert status == 0 and "--hidden-size" in out and "default: 3000000" in out
    status, _, errors = run(tmp_path, "train", "--hiden-size", "3")
    assert status == 2 and "Perhaps you meant" in errors and "--hidden-size" in errors
    assert "did you mean 'train'?" in refuse(tmp_path, "trian")
    assert "give one of train, sample, evaluate" in refuse(tmp_path, "foo")


def test_bad_texts(refuse, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_text("short " * 5)
    (tmp_path / "latin").write_bytes(b"caf\xe9 " * 999)
    for name, sentence in {
        "missing": "'missing' does not exist",
        ".": "is a directory",
        "empty": "is empty",
        "short": "at least 2,049",
        "latin": "byte 0xe9 at offset 3",
    }.items():
        assert sentence in refuse(tmp_path, "train", "--text", name)
    assert "trained with --bytes reads any" in refuse(tmp_path, "train", "--text", "latin")


def test_the_text_is_never_overwritten(refuse, tmp_path):
    """Neither by the model, nor by what goes beside it, nor through a link."""
    names = ("a.txt", "b.metrics.jsonl", "c.losses.png")
    for name, out in zip(names, ("./a.txt", "b.safetensors", "c.x"), strict=True):
        (tmp_path / name).write_text(WRITTEN)
        assert "the text itself" in refuse(tmp_path, "train", "--text", name, "--out", out, *SMALL)
        assert (tmp_path / name).read_text() == WRITTEN
    (tmp_path / "link").symlink_to("a.txt")
    sentence = refuse(tmp_path, "train", "--text", "a.txt", "--out", "link", *SMALL)
    assert "'link' is the text itself" in sentence
    assert (tmp_path / "a.txt").read_text() == WRITTEN
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "link"])


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--temperature", "-1", "temperature is -1.0; give a number from 0 upwards"),
        ("--temperature", "nan", "temperature is nan; give a number from 0 upwards"),
        ("--length", "-5", "length is -5; give 0 or more"),
        ("--seed", "99999999999999999999", "from 0 to 4294967295"),
        ("--seed", "-1", "from 0 to 4294967295"),
    ],
)
def test_bad_requests_are_refused_before_the_text_is_read(refuse, tmp_path, flag, value, sentence):
    assert sentence in refuse(tmp_path, "train", "--text", "missing", flag, value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--steps", "0"), ("--batch", "-1"), ("--hidden-size", "0"), ("--limit", "0")],
)
def test_sizes_that_are_not_positive(refuse, tmp_path, flag, value):
    sentence = refuse(tmp_path, "train", flag, value)
    assert "positive" in sentence and value in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--steps", "--learning-rate"])
def test_numbers_are_refused_before_the_text_is_read(refuse, tmp_path, flag):
    assert "give a positive number" in refuse(tmp_path, "train", "--text", "missing", flag, "0")


def test_a_file_to_continue_or_score_may_have_any_encoding(refuse, trained, capsys):
    """The hint that the refusal gives can be followed."""
    folder, _ = trained
    (folder / "wide").write_text("the fox", encoding="utf-16")
    wide = {"sample": ("--prompt-file", "wide", "--length", "3"), "score": ("--text-file", "wide")}
    try:
        for command, arguments in wide.items():
            assert "(--encoding)" in refuse(folder, command, *arguments)
            status, out, errors = run(folder, command, *arguments, "--encoding", "utf-16")
            assert status == 0 and not errors
            assert out.startswith("the fox" if command == "sample" else "-")
    finally:
        (folder / "wide").unlink()


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--prompt", "the é", "'é' (U+00E9) at position 4"),
        ("--temperature", "-1", "from 0 upwards"),
        ("--length", "-5", "0 or more"),
        ("--streams", "0", "positive"),
        ("--seed", "99999999999999999999", "from 0 to 4294967295"),
        ("--model", "fox.txt", "not a model file"),
        ("--model", "missing", "No such file"),
        ("--model", ".", "not a regular file"),
    ],
)
def test_bad_requests_for_text(refuse, trained, flag, value, sentence):
    assert sentence in refuse(trained[0], "sample", flag, value)


def test_a_text_outside_the_vocabulary_cannot_be_evaluated(refuse, trained, tmp_path):
    (tmp_path / "greek").write_text("αβγ" * 100)
    model = trained[0] / "char_lm.safetensors"
    sentence = refuse(tmp_path, "evaluate", "--model", model, "--text", "greek")
    assert "U+03B1" in sentence and "a model trained with --bytes knows" in sentence
    (tmp_path / "latin").write_bytes(b"caf\xe9 " * 999)
    sentence = refuse(tmp_path, "evaluate", "--model", model, "--text", "latin")
    assert "a model trained with --bytes reads any file" in sentence


def test_an_unwritable_place_is_noticed_before_training(refuse, tmp_path):
    began = time.monotonic()
    assert "cannot be written" in refuse(tmp_path, "train", "--out", "none/model.safetensors")
    assert "cannot be written" in refuse(tmp_path, "train", "--out", ".")
    assert time.monotonic() - began < 60  # the default training takes minutes


def test_non_finite_training_stops_with_the_step_and_keeps_the_good_model(tmp_path):
    (tmp_path / "fox.txt").write_text(WRITTEN)
    huge = ("--learning-rate", "1e38", "--clip", "1e38")
    status, _, errors = run(tmp_path, "train", "--text", "fox.txt", *SMALL, *huge)
    assert status == 1 and "Traceback" not in errors and "at step " in errors
    assert errors.startswith("nothing saved: training stopped before its first report\n")
    model = tmp_path / "char_lm.safetensors"
    assert not model.exists()
    model.write_bytes(b"from an earlier run")
    status, _, errors = run(tmp_path, "train", "--text", "fox.txt", *SMALL, *huge)
    assert status == 1 and "first report; 'char_lm.safetensors' is as it was before\n" in errors
    assert model.read_bytes() == b"from an earlier run"


def test_non_finite_training_keeps_the_last_good_model(tmp_path):
    """After one update at this rate the loss of every window overflows, but of no single token.

    No weight is then larger than the rate, no logit than 17 of them (16 hidden numbers within ±1,
    and a bias), no token's loss than 2 · 17 · 9e36 = 3.1e38, which float32 holds; a mean begins
    with the sum of 64. The validation loss is a sum in float64.
    """
    (tmp_path / "fox.txt").write_text(WRITTEN)
    growing = ("--cell", "elman", "--embedding-size", "0", "--learning-rate", "9e36")
    status, out, errors = run(
        *(tmp_path, "train", "--text", "fox.txt", *SMALL, *growing, "--report-every", "1"),
        *("--max-skipped", "2"),
    )
    assert status == 1 and errors.count("\n") == 1 and "at 2 steps in a row" in errors
    bad = int(errors.split("of them step ")[1].split(":")[0])
    assert bad == 3
    skipped = [line.split("/")[0] for line in out.splitlines() if line.endswith("  1 skipped")]
    assert f"step {bad - 1}" in skipped
    assert f"as it was after step {bad - 1}" in out
    metrics = (tmp_path / "char_lm.metrics.jsonl").read_text().splitlines()
    last = json.loads(metrics[-1])
    assert (last["step"], last["skipped"], last["loss"]) == (bad - 1, 1, None)
    for kept in ("char_lm.safetensors", f"char_lm.checkpoints/{bad - 1}"):
        params = text.load(tmp_path / kept).params
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_interrupted_training_saves_the_last_good_model(tmp_path):
    (tmp_path / "fox.txt").write_text(WRITTEN)
    process = start(tmp_path, "train", "--text", "fox.txt", *SMALL, "--steps", "10000000")
    for line in process.stdout:
        if line.startswith("step 30/"):
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and errors == "error: interrupted\n"
    assert "saved the model as it was after step " in out
    status, out, _ = run(tmp_path, "sample", "--length", "20")
    assert status == 0 and len(out) == 22
