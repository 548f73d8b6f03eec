"""Every script of the gallery runs as a reader runs it, and says the same each time."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
from compilation import QUICK

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

SCRIPTS = {
    "hello_pytorch": (["--epochs", "15"], ["concat, NLL", "raw output", "errors grow"]),
    "neuralnet": (["--epochs", "101"], ["(6, 1, 8)", "neuralnet", "by hand"]),
    "i_think": (["--epochs", "12", "--seeds", "2"], ["floor", "1.0150", "Elman"]),
    "remember": (["--epochs", "12"], ["(3, 5, 5) (2, 3, 5) (2, 3, 5)", "five windows"]),
    "vector": (["--epochs", "90", "--seeds", "2"], ["dh_raw", "naive", "0.2296"]),
    "vanishing": (["--updates", "5"], ["IRNN", "not clipped", "of 2 bits"]),
    "ensemble": (["--epochs", "1", "--members", "2"], ["mean of the members", "trained alone"]),
}


def run(script, *arguments, block_matplotlib=False, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **QUICK}
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
def test_help_names_the_options(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module(script)
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
