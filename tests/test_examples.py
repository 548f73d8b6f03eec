"""Every script of the gallery runs as a reader runs it, and says the same each time."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tyro
from compilation import QUICK

from jaxrnn.errors import InputError

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

SCRIPTS = {
    "hello_pytorch": (["--epochs", "15"], ["concat, NLL", "raw output"]),
    "neuralnet": (["--epochs", "101"], ["(6, 1, 8)", "neuralnet", "by hand"]),
    "i_think": (["--epochs", "12", "--seeds", "2"], ["floor", "1.0150", "Elman"]),
    "remember": (["--epochs", "12"], ["(3, 5, 5) (2, 3, 5) (2, 3, 5)", "five windows"]),
    "vector": (["--epochs", "90", "--seeds", "2"], ["dh_raw", "naive", "0.2296"]),
    "vanishing": (["--updates", "5"], ["IRNN", "not clipped", "of 2 bits"]),
    "ensemble": (["--epochs", "1", "--members", "2"], ["mean of the members", "trained alone"]),
}

SETTINGS = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **QUICK}
MISSED = "What the default settings show, and this run did not:"


@pytest.fixture
def import_script(monkeypatch):
    """A script of the gallery as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def run(script, *arguments, block_matplotlib=False, cwd):
    environment = {**os.environ, **SETTINGS}
    if block_matplotlib:
        (cwd / "matplotlib.py").write_text("raise ImportError")
        environment["PYTHONPATH"] = os.pathsep.join([str(cwd), str(ROOT)])
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_reduced_run(script, tmp_path):
    arguments, expected = SCRIPTS[script]
    result = run(script, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for words in expected:
        assert words in result.stdout
    picture = (tmp_path / f"{script}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_without_matplotlib_one_sentence_instead_of_a_picture_and_the_same_text_again(tmp_path):
    first = run("neuralnet", "--epochs", "25", cwd=tmp_path)
    second = run("neuralnet", "--epochs", "25", block_matplotlib=True, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "no picture: matplotlib is not installed; get it with" in second.stdout
    without_picture = [re.sub(r"(?m)^(no )?picture: .*$", "", x.stdout) for x in (first, second)]
    assert without_picture[0] == without_picture[1]
    assert re.search(r"right for the first time at epoch \d\.", first.stdout)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_options(script, import_script, capsys):
    module = import_script(script)
    with pytest.raises(SystemExit) as stopped:
        tyro.cli(module.main, args=["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for option in [*SCRIPTS[script][0][::2], "--picture"]:
        assert option in shown


def test_bad_input_is_one_sentence_and_status_2(tmp_path):
    result = run("neuralnet", "--epochs", "0", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "error: epochs is 0; give a positive number.\n"
    assert result.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("number", "picture", "sentence"),
    [
        (0, "new.png", "is 0"),
        (20, "none/new.png", r"'none.new\.png' cannot be written \("),
        (20, ".", r"'\.' cannot be written \("),
    ],
)
def test_bad_input_is_refused_before_anything_is_said(
    import_script, capsys, monkeypatch, tmp_path, script, number, picture, sentence
):
    monkeypatch.chdir(tmp_path)
    how_long = "updates" if script == "vanishing" else "epochs"
    with pytest.raises(InputError, match=sentence):
        import_script(script).main(**{how_long: number}, picture=Path(picture))
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())


def test_a_check_leaves_the_picture_that_is_there(import_script, tmp_path):
    (tmp_path / "there.png").write_bytes(b"picture")
    import_script("show").check(tmp_path / "there.png", epochs=1)
    assert (tmp_path / "there.png").read_bytes() == b"picture"


def test_what_was_not_measured_is_not_said(tmp_path):
    short = run("neuralnet", "--epochs", "2", cwd=tmp_path).stdout
    assert short.endswith(f'{MISSED}\n  "neuralnet" is right well before epoch 20\n')
    long = run("neuralnet", "--epochs", "20", cwd=tmp_path).stdout
    assert MISSED not in long and long.endswith("they are right well before epoch 20.\n")


def interrupted(script, seconds, folder):
    """How a script ends that gets Ctrl-C so many seconds after its start."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{script}.py")],
        cwd=folder,
        env={**os.environ, **SETTINGS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.mark.skipif(os.name != "posix", reason="sends the signal as a POSIX terminal does")
@pytest.mark.parametrize(
    ("script", "seconds"),
    # While libraries are imported, then while programs are compiled and run.
    [("remember", x) for x in (0.4, 0.7, 3, 4, 5)] + [("hello_pytorch", 4), ("ensemble", 4)],
)
def test_control_c_is_one_word_and_status_130_at_any_time(tmp_path, script, seconds):
    status, errors = interrupted(script, seconds, tmp_path)
    assert (status, errors) == (130, "error: interrupted\n")


ENDING = """
import signal, sys
sys.path[:0] = [{examples!r}]
import command_line
import remember
import show

def main():
    # An exception, as Ctrl-C is in `char_lm.py` and in whatever is no script of the gallery.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 2)
    remember.main(epochs=20_000)

command_line.run(main)
"""


@pytest.mark.skipif(os.name != "posix", reason="sets an alarm of POSIX")
def test_an_exception_in_the_midst_of_a_computation_does_not_crash_the_end(tmp_path):
    """Its traceback refers to modules of jaxlib that a regular end has taken down before."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDING.format(examples=str(EXAMPLES))],
        cwd=tmp_path,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (130, "error: interrupted\n")
