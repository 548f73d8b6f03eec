"""The benchmarks refuse what makes no sense, in one sentence and before they measure."""

import json
import re
from pathlib import Path

import pytest
from benchmark_files import record_of, times

from jaxrnn.errors import InputError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cells": ("LSTN",)}, "cells: 'LSTN' is not known; did you mean 'LSTM'?"),
        ({"works": ("z",)}, "works: 'z' is not known; there are forward, backward, train"),
        ({"contenders": ("jaxrnn", "flax")}, "contenders: 'flax' is not known; "),
        ({"directions": ()}, "directions is empty; give one or more of uni, bi."),
        ({"sizes": ("16x50x128",)}, "sizes: '16x50x128' is none; give batch, time, width and"),
        ({"sizes": ("16x50x0x2",)}, "sizes: '16x50x0x2' is none"),
        ({"cores": ()}, "cores is empty; give one or more."),
        ({"cores": ("0",)}, "cores: '0' is none of 1 to "),
        ({"cores": ("many",)}, "nor 'all'."),
        ({"directions": ("bi",), "works": ("sample-1",)}, "both directions cannot sample"),
        ({"rounds": 0}, "rounds is 0; give a positive number."),
        ({"seconds": float("nan")}, "seconds is nan; give a positive number."),
        ({"output": Path("nowhere") / "out.json"}, "cannot be written: No such file or directory."),
    ],
)
def test_bad_arguments_are_one_sentence(pretend, options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(sentence)):
        pretend[0](**options)
    assert pretend[1] == []


@pytest.mark.parametrize("repeats", [0, -1])
def test_notebooks_without_repeats_are_refused(load, repeats, tmp_path):
    with pytest.raises(InputError, match=f"repeats is {repeats}; give"):
        load("notebooks").main(repeats=repeats, picture=tmp_path / "picture.png")


def test_notebooks_without_torch_are_refused(load, monkeypatch, tmp_path):
    notebooks = load("notebooks")
    monkeypatch.setattr(notebooks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"torch is not installed; get it with: pip install"):
        notebooks.main(picture=tmp_path / "picture.png")


def test_a_notebook_that_fails_is_one_sentence(load, monkeypatch):
    notebooks = load("notebooks")
    monkeypatch.setattr(notebooks.sys, "executable", "false")
    with pytest.raises(SystemExit, match="001 neuralnet, ours: its process ended with status 1."):
        notebooks.in_a_process("ours", "001 neuralnet")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no file of results"),
        pytest.param("[" * 10**5, "is no file of results", id="deep"),
        ("[]", "is no file of results, or a damaged one: all of it is []; run.py writes one."),
        ('{"version": 1, "sessions": [], "groups": [{}]}', "groups/0 has no 'session'; run.py"),
        ('{"version": 1, "sessions": [], "groups": null}', "damaged one: groups is null; run.py"),
        ('{"version": 2, "sessions": [], "groups": []}', "version 2 of the format; this is 1."),
        ('{"version": 1, "sessions": [], "groups": []}', "holds no group yet"),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_files_that_hold_no_results_are_one_sentence(load, content, sentence, tmp_path):
    if content is not None:
        (tmp_path / "out.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        load("draw").main(results=tmp_path / "out.json")


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("sessions/0/machine/cores", "two", 'sessions/0/machine/cores is "two"'),
        ("sessions/0/settings", {}, "sessions/0/settings has no 'rounds'"),
        ("groups/0/session", 1, "groups/0 is of a session that is not there"),
        ("groups/0/cell", "LSTN", 'groups/0/cell is "LSTN"'),
        ("groups/0/size", "2x3x4", 'groups/0/size is "2x3x4"'),
        ("groups/0/directions", [], "groups/0/directions is []"),
        ("groups/0/works", {"rest": {}}, "groups/0 has a work 'rest'"),
        ("groups/0/works/train/plain", {}, "groups/0/works/train/plain has no 'median_ms'"),
        ("groups/0/works/train/plain/median_ms", [], "train/plain/median_ms is []"),
        ("groups/0/works/train/plain/median_ms/0", 0, "train/plain/median_ms/0 is 0"),
        ("groups/0/works/train/plain/first_s", float("nan"), "train/plain/first_s is NaN"),
        ("groups/0/works/train/plain/loops", [{}], "plain/loops/0 has no 'instructions'"),
        ("groups/0/works/train/keras/skipped", None, "train/keras/skipped is null"),
    ],
)
def test_damage_is_found_wherever_it_is(load, pretend, tmp_path, place, value, sentence):
    path = tmp_path / "out.json"
    works = {"train": {"jaxrnn": times(1.0), "plain": times(1.0), "keras": {"skipped": "no."}}}
    content = record_of(load, path, ("LSTM", "1x2x3x1", 1, 1, works)).content
    *parents, last = [int(name) if name.isdigit() else name for name in place.split("/")]
    part = content
    for name in parents:
        part = part[name]
    part[last] = value
    path.write_text(json.dumps(content))
    for command in (lambda: load("draw").main(results=path), lambda: pretend[0](output=path)):
        with pytest.raises(InputError, match=re.escape(f"{sentence}; run.py writes one.")):
            command()
