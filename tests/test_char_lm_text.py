"""What `examples/char_lm.py` does with a trained model, called as the command line calls it."""

import io
import json
import runpy
from pathlib import Path

import jax
import pytest

from jaxrnn import text

SCRIPT = Path(__file__).parents[1] / "examples" / "char_lm.py"
FOX = "the quick brown fox jumps over the lazy dog\n" * 20


@pytest.fixture(scope="module")
def model():
    vocabulary = text.CharVocabulary.from_text(FOX)
    network = text.build_network(text.ModelConfig("gru", 1, 6, 4), vocabulary.size)
    params = jax.tree.map(lambda leaf: 2 * leaf, network.init(jax.random.key(0)))
    return text.LanguageModel(network, params, vocabulary)


@pytest.fixture
def run(model, tmp_path, monkeypatch, capsys):
    """In a folder with a text and a model: `(status, output, errors)` of a command."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.chdir(tmp_path)
    Path("fox.txt").write_text(FOX)
    source = text.SourceConfig(text=Path("fox.txt"))
    corpus = source.read(as_bytes=False)
    parts = source.parts(model.vocabulary.encode(FOX))
    text.save("char_lm.safetensors", model, **source.origin(corpus, parts))

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["char_lm.py", *arguments])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return stopped.value.code, *capsys.readouterr()

    return call


def refused(run, *arguments):
    status, _, errors = run(*arguments)
    assert status == 2 and errors.startswith("error: ") and errors.count("\n") == 1
    return errors


def test_sample_with_everything(run, model):
    options = ["--top-k", "9", "--top-p", "0.9", "--repetition-penalty", "1.3", "--length", "60"]
    status, out, _ = run("sample", "--prompt", "the ", *options, "--streams", "2", "--stop", "q")
    pieces = text.generate(
        *(*model, ["the "] * 2, 60, jax.random.key(0), 0.8),
        transforms=[text.repetition_penalty(1.3), text.top_k(9), text.top_p(0.9)],
        stops=[text.stop_before("q")],
    )
    first, second = ("the " + "".join(stream) for stream in zip(*pieces, strict=True))
    assert status == 0 and out == f"{first}\n\n--- stream 2 ---\n{second}\n"


def test_prompts_from_a_file_and_line_by_line(run, monkeypatch):
    Path("prompt.txt").write_text("the fox\njumps")
    status, out, _ = run("sample", "--prompt-file", "prompt.txt", "--length", "9")
    assert status == 0 and out.startswith("the fox\njumps") and len(out) == 13 + 9 + 1
    monkeypatch.setattr("sys.stdin", io.StringIO("the\nTHE\nfox"))
    status, out, errors = run("sample", "--interactive", "--length", "5", "--temperature", "0")
    assert status == 0 and "'T' (U+0054) at position 0" in errors
    assert out[:3] == "the" and out[8:12] == "\nfox" and len(out) == 18
    assert "give one of --prompt" in refused(run, "sample", "--prompt", "a", "--interactive")


def test_unknown_characters(run):
    at_zero = ("sample", "--length", "20", "--temperature", "0", "--prompt")
    assert "--unknown" in refused(run, *at_zero, "fÖx")
    _, skipped, _ = run(*at_zero, "fÖx", "--unknown", "skip")
    _, replaced, _ = run(*at_zero, "fÖx", "--unknown", "replace", "--replacement", "o")
    assert skipped[3:] == run(*at_zero, "fx")[1][2:]
    assert replaced[3:] == run(*at_zero, "fox")[1][3:]
    assert "add --unknown replace" in refused(run, *at_zero, "fox", "--replacement", "o")


def test_evaluate_other_splits_and_dynamically(run, model):
    adapting = ("--adapt", "0.01", "--adapt-decay", "0.1", "--adapt-rms", "--adapt-window", "8")
    status, out, _ = run(
        *("evaluate", "--text", "fox.txt", "--split", "80/10/10", "--part", "test", *adapting)
    )
    parts = text.split_80_10_10(model.vocabulary.encode(FOX))
    nats = text.evaluate(model.network, model.params, parts.test)
    sizes = text.gradient_sizes(model.network, model.params, parts.train, window=8)
    rule = text.rms(0.01, 0.1, sizes)
    adapted = text.evaluate_dynamically(model.network, model.params, parts.test, rule, 8)
    assert status == 0 and "; what is measured here may include" in out
    assert f"test loss on the 80/10/10 in one piece each, as in torch-rnn: {nats:.4f} nats" in out
    assert f"adapting every 8 characters: {adapted:.4f} nats" in out and adapted != nats


def test_evaluate_columns(run, model):
    status, out, _ = run(
        "evaluate", "--text", "fox.txt", "--split", "columns", "--columns", "4", "7"
    )
    parts = text.split_columns_95_5(model.vocabulary.encode(FOX), 4, 7)
    nats = text.evaluate(model.network, model.params, parts.validation)
    assert status == 0 and f"4 streams and lengths of 7, as in char-rnn: {nats:.4f} nats" in out


def test_score(run, model):
    status, out, _ = run("score", "--sentence", "fox\n")
    tokens = model.vocabulary.encode("fox\n")
    _, log_probs = text.log_probabilities(model.network, model.params, tokens)
    *lines, total = out.splitlines()
    assert status == 0
    assert lines == [f"{p:.4f}\t{c!r}" for p, c in zip(log_probs, "ox\n", strict=True)]
    assert total.startswith(f"{log_probs.sum():.4f} nats in all")
    Path("score.txt").write_text("fox\n")
    assert run("score", "--text-file", "score.txt")[1] == out
    assert "--sentence or --text-file" in refused(run, "score")


def test_look(run):
    pytest.importorskip("matplotlib")
    report = {"step": 1, "loss": 2.0, "validation_loss": 3.0}
    Path("char_lm.metrics.jsonl").write_text(json.dumps(report) + "\n")
    status, out, errors = run("look", "--text", "fox.txt", "--length", "50", "--units", "0", "5")
    assert status == 0 and not errors
    assert out.splitlines() == [
        "page: char_lm.html",
        "picture of the surprise: char_lm.surprise.png",
        "picture of the units: char_lm.units.png",
    ]
    page = Path("char_lm.html").read_text(encoding="utf-8")
    assert page.count("<span ") == 50 and "<h2>Losses</h2>" in page
    assert Path("char_lm.units.png").read_bytes().startswith(b"\x89PNG")
    Path("char_lm.html").unlink()
    assert "no unit 6" in refused(run, "look", "--sentence", "fox", "--units", "6")
    assert "there is no state 'h'" in refused(run, "look", "--sentence", "fox", "--state", "h")
    assert not Path("char_lm.html").exists()


def test_nothing_is_drawn_over_what_is_needed(run):
    for out in ("char_lm.safetensors", "fox.txt"):
        before = Path(out).read_bytes()
        sentence = refused(run, "look", "--text", "fox.txt", "--out", out)
        assert "itself and would be overwritten" in sentence
        assert Path(out).read_bytes() == before


def test_words_are_trained_saved_measured_and_written(run):
    small = ["--layers", "1", "--hidden-size", "4", "--embedding-size", "4", "--batch", "2"]
    small += ["--window", "4", "--steps", "2", "--length", "7", "--text", "fox.txt"]
    status, out, _ = run("train", "--words", "6", "--out", "words.x", *small)
    assert status == 0 and "words, validation on the" in out
    assert "are unknown words, all taken for one" in out
    measured = [line for line in out.splitlines() if line.startswith("validation loss")]
    status, out, _ = run("evaluate", "--text", "fox.txt", "--model", "words.x")
    assert status == 0 and measured == out.splitlines()[1:2]
    assert text.load("words.x").vocabulary.size == 6
    status, out, _ = run("sample", "--model", "words.x", "--prompt", "the fox", "--length", "20")
    assert status == 0 and len(text.load("words.x").vocabulary.lookup(out[7:-1])) >= 20
    assert "--bytes or --words" in refused(run, "train", "--words", "6", "--bytes", *small)


def test_training_on_columns(run):
    small = ["--layers", "1", "--hidden-size", "4", "--embedding-size", "0", "--window", "4"]
    small += ["--steps", "2", "--length", "3", "--text", "fox.txt", "--split", "columns"]
    small += ["--columns", "5", "6", "--out", "columns.x"]
    status, out, _ = run("train", *small, "--batch", "5")
    assert status == 0 and "columns 95/5 of 5 streams and lengths of 6" in out
    status, out, _ = run("evaluate", "--text", "fox.txt", "--model", "columns.x")
    assert "split columns 95/5 of 5 streams and lengths of 6, as in char-rnn; what" in out
    assert "made 5 streams, but the batch is 4" in refused(run, "train", *small, "--batch", "4")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sample", "--top-k", "0"], "top-k is 0"),
        (["sample", "--top-p", "1.5"], "top-p is 1.5"),
        (["sample", "--repetition-penalty", "0"], "repetition penalty is 0.0"),
        (["sample", "--repetition-window", "0"], "looks back 0"),
        (["sample", "--stop", ""], "stop string is empty"),
        (["sample", "--prompt-file", "none"], "does not exist"),
        (["evaluate", "--part", "test"], "has no test part"),
        (["evaluate", "--adapt", "0"], "learning rate is 0.0"),
        (["evaluate", "--adapt", "1", "--adapt-decay", "2"], "decay is 2.0"),
        (["evaluate", "--adapt", "1", "--adapt-window", "0"], "window of adapting is 0"),
        (["look", "--length", "1"], "length is 1"),
    ],
)
def test_requests_out_of_range(run, arguments, sentence):
    assert sentence in refused(run, *arguments)
