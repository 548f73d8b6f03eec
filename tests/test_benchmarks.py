"""The benchmarks: other numbers are caught, nothing measured is lost, ratios are fair."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest
from benchmark_files import EXAMPLES, HERE, record_of, times

from jaxrnn.errors import InputError


def test_wrong_numbers_and_broken_contenders_are_caught_and_the_rest_is_drawn(load, tmp_path):
    copy = tmp_path / "benchmarks"
    shutil.copytree(EXAMPLES / "benchmarks", copy)
    for module in ("show.py", "command_line.py"):
        shutil.copy(EXAMPLES / module, tmp_path)
    plain = copy / "contenders" / "of_plain_jax.py"
    # Input and forget gate change places: a network, but another one.
    swapped = plain.read_text().replace("i, f, g, o = jnp.split", "f, i, g, o = jnp.split")
    assert swapped != plain.read_text()
    plain.write_text(swapped)
    (copy / "contenders" / "of_equinox.py").write_text("import os\nos._exit(3)\n")
    (copy / "contenders" / "of_haiku.py").write_text("raise RuntimeError('of\\nno use')\n")
    asked = {
        "contenders": "jaxrnn plain torch equinox haiku",
        "cells": "LSTM",
        "sizes": "3x12x8x1",
        "directions": "uni",
        "works": "backward",
        "cores": "1" if sys.platform == "linux" else "all",
        "rounds": "2",
        "seconds": "0.01",
        "output": str(tmp_path / "out.json"),
    }
    options = [word for name, value in asked.items() for word in (f"--{name}", *value.split(" "))]
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, str(copy / "run.py"), *options],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert re.fullmatch(
        r"wrong numbers: plain in backward of LSTM 3x12x8x1, \d cores?: its numbers are off: \S+ "
        r"differs from the reference by \d\.\de[-+]\d\d, and 1e-04 is allowed\.\n",
        ran.stderr,
    )
    record = load("record").Record.load(tmp_path / "out.json")
    (group,) = record.content["groups"]
    seen = group["works"]["backward"]
    for name in ("jaxrnn", "torch"):
        assert len(seen[name]["median_ms"]) == 2
        assert min(seen[name]["least_ms"]) > 0
        assert seen[name]["difference"] < 1e-5
    assert seen["jaxrnn"]["loops"][0]["trips"] == 12
    assert seen["jaxrnn"]["temporary_bytes"] > 0
    assert seen["equinox"]["skipped"] == "its process ended with status 3: (silence)"
    assert seen["haiku"]["skipped"] == "it failed with RuntimeError: of no use"
    assert "median_ms" not in seen["plain"]

    load("draw").main(results=tmp_path / "out.json")
    page = (tmp_path / "out.md").read_text("utf-8")
    assert re.search(r"^\| 3x12x8x1 \| [\d.e+]+ \| [\d.e+]+ \([\d.]+×\) \|$", page, re.M)
    assert "Without plain: its numbers are off" in page
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="a group of processes")
def test_ctrl_c_is_one_word_and_leaves_no_process_behind(tmp_path):
    asked = "--quick --contenders jaxrnn plain --cores all --output out.json".split()
    command = [sys.executable, str(EXAMPLES / "benchmarks" / "run.py"), *asked]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def words_of(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.split()

    def children(*named):
        return words_of("pgrep", "-P", str(running.pid), *named)

    # The references are computed when all players are there.
    while not children("-f", "reference.py"):
        assert running.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    left = children()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    said = running.communicate(timeout=30)[1]
    assert running.returncode == 130
    assert re.fullmatch(r"(error: )?interrupted\n", said)
    assert len(left) == 3
    # A killed process may keep its number until somebody asks for its status: Z.
    end = time.monotonic() + 10
    while any(not word.startswith("Z") for word in words_of("ps", "-ostat=", "-p", ",".join(left))):
        assert time.monotonic() < end
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize(("begun", "status"), [("interrupt()", 130), ("run_tidily(main)", 7)])
def test_ctrl_c_ends_imports_at_once_and_is_an_exception_from_main_on(begun, status):
    script = f"""
import os, signal, sys
__file__ = "benchmarks/run.py"
from command_line import run_tidily

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def main():
    try:
        interrupt()
    except KeyboardInterrupt:
        os._exit(7)

{begun}
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=EXAMPLES, capture_output=True, text=True
    )
    said = "error: interrupted\n" if status == 130 else ""
    assert (ran.returncode, ran.stderr) == (status, said)


def test_a_process_that_does_not_answer_is_ended(load, monkeypatch):
    contest, plan, jobs = map(load, ("contest", "plan", "jobs"))
    monkeypatch.setattr(contest, "PATIENCE", 0.0)
    model = jobs.Model("LSTM", jobs.Size(1, 2, 3, 1))
    player = contest.Player("torch", plan.Group(model, 1, ("forward",)))
    try:
        assert player.ask("equations") == {"skipped": "it took longer than 0 seconds."}
        assert player.process.wait(5) != 0
    finally:
        player.stop()


def test_loops_of_a_program_are_counted(load):
    loops = load("program").loops
    text = """
%fused (p.0: f32[4,8], p.1: f32[8,8]) -> f32[4,8] {
  %p.0 = f32[4,8]{1,0} parameter(0)
  %p.1 = f32[8,8]{1,0} parameter(1)
  %dot.0 = f32[4,8]{1,0} dot(%p.0, %p.1), lhs_contracting_dims={1}
  ROOT %tanh.0 = f32[4,8]{1,0} tanh(%dot.0)
}

%body (state: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %state = (s32[], f32[4,8]{1,0}) parameter(0)
  %h = f32[4,8]{1,0} get-tuple-element(%state), index=1
  %fusion = f32[4,8]{1,0} fusion(%h, %h), kind=kCustom, calls=%fused
  %again = f32[4,8]{1,0} custom-call(%fusion), custom_call_target="__onednn$matmul"
  %other = f32[4,8]{1,0} custom-call(%again), custom_call_target="Sharding"
  %copy.1 = f32[4,8]{0,1} copy(%other)
  ROOT %out = (s32[], /*index=1*/f32[4,8]{1,0}) tuple(%h, %copy.1)
}

ENTRY %main (a: f32[4,8]) -> f32[4,8] {
  %a = f32[4,8]{1,0} parameter(0)
  %outside = f32[8,4]{1,0} transpose(%a)
  ROOT %while.1 = (s32[], /*index=1*/f32[4,8]{1,0}) while(%a), condition=%less, body=%body, \
backend_config={"known_trip_count":{"n":"50"}}
}
"""
    found = {"trips": 50, "instructions": 4, "products": 2, "copies": 1, "transpositions": 0}
    assert loops(text) == [found]


def test_loops_of_a_compiled_scan_are_counted(load):
    def norm(w, xs):
        return jax.lax.scan(lambda h, x: (jnp.tanh(x + h @ w), ()), jnp.zeros((2, 3)), xs)[0].sum()

    compiled = jax.jit(jax.grad(norm)).lower(jnp.eye(3), jnp.ones((40, 2, 3))).compile()
    found = load("program").describe(compiled)
    forward, backward = sorted(found["loops"], key=lambda loop: loop["products"])
    # Backwards one product for the state and one for the weights.
    assert (forward["products"], backward["products"]) == (1, 2)
    assert min(forward["instructions"], backward["instructions"]) > 2
    assert found["temporary_bytes"] >= 40 * 2 * 3 * 8


def test_a_run_goes_on_where_the_last_one_ended(pretend, tmp_path, capsys):
    main, asked = pretend
    options = {
        "output": tmp_path / "out.json",
        "cells": ("LSTM", "GRU"),
        "sizes": ("1x2x3x1",),
        "directions": ("uni",),
        "contenders": ("jaxrnn", "plain"),
        "cores": ("all",),
    }
    main(**options, works=("train",), minutes=1e-9)
    assert "1e-09 minutes are over" in capsys.readouterr().out
    main(**options, works=("train", "backward"))
    main(**options, works=("train", "backward"))
    assert "0 to measure" in capsys.readouterr().out
    names = [name.split(",")[0] for name, _ in asked]
    assert names == ["LSTM 1x2x3x1", "LSTM 1x2x3x1", "GRU 1x2x3x1"]
    assert [works for _, works in asked] == [("train",), ("backward",), ("train", "backward")]
    # One more contender, or --again: all of them once more, since they must alternate.
    options["contenders"] += ("torch",)
    main(**options, works=("train",))
    main(**options, works=("train",), again=True)
    assert len(asked) == 7
    content = json.loads((tmp_path / "out.json").read_text())
    assert len(content["groups"]) == 7
    assert [len(s["settings"]["contenders"]) for s in content["sessions"]] == [2, 2, 3, 3]
    assert [group["session"] for group in content["groups"]] == [0, 1, 1, 2, 2, 3, 3]


def test_why_someone_is_missing_is_said_once_and_how_to_draw(pretend, load, tmp_path, capsys):
    def contest(group, names, *_):
        absent = {"skipped": "keras is not installed."}
        return {w: {"jaxrnn": times(2.0), "keras": absent} for w in group.works}

    load("run").contest.contest = contest  # undone by `pretend`
    path = tmp_path / "my file.json"
    pretend[0](
        output=path,
        cells=("LSTM", "GRU"),
        sizes=("1x2x3x1",),
        directions=("uni",),
        works=("train", "backward"),
        contenders=("jaxrnn", "keras"),
        cores=("all",),
    )
    printed = capsys.readouterr().out
    assert printed.count("  Without keras: keras is not installed.\n") == 1
    assert "2 groups; 2 to measure, about 1 minute.\n" in printed
    assert f"holds 2 groups. Now: draw.py --results '{path}'\n" in printed


def test_results_of_another_machine_are_not_mixed_in(load, pretend, tmp_path):
    record_of(load, tmp_path / "out.json")
    before = (tmp_path / "out.json").read_bytes()
    load("here").machine = lambda: HERE | {"cpu": "slide rule"}  # undone by `pretend`
    with pytest.raises(InputError, match="abacus, 2 cores, .*slide rule.*another --output"):
        pretend[0](output=tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == before
    assert pretend[1] == []


def test_ratios_are_of_medians_of_one_group_and_the_newest_counts(load, tmp_path):
    tally, page = load("tally"), load("report").page
    old = {"jaxrnn": times(10.0, 20.0, 90.0), "plain": times(30.0), "keras": times(24.0)}
    new = {"jaxrnn": times(10.0), "plain": times(30.0), "torch": {"skipped": "not here."}}
    record = record_of(
        load,
        tmp_path / "out.json",
        ("LSTM", "50x50x128x2", 1, 1, {"train": old}),
        ("LSTM", "50x50x128x2", 1, 1, {"train": new}),
    )
    row = tally.collect(record)[tally.Setting(1, 1, "LSTM", "train")]["50x50x128x2"]
    assert {name: seen[:2] for name, seen in row.items()} == {
        "jaxrnn": (10.0, 1.0),
        "plain": (30.0, 3.0),
        "keras": (24.0, 1.2),
        "torch": (None, None),
    }
    page = page(record)
    assert "| 50x50x128x2 | 10 | 30 (3.00×) | 24 (1.20×) |" in page
    assert "Without torch: not here." in page


def test_each_table_says_how_far_the_rounds_lie_apart(load, tmp_path):
    works = {"train": {"jaxrnn": times(9.0, 10.0, 11.0), "plain": times(10.0, 15.0, 20.0)}}
    works["backward"] = {"jaxrnn": times(10.0)}
    group = "LSTM", "1x2x3x1", 1, 1, works
    page = load("report").page(record_of(load, tmp_path / "out.json", group))
    (said,) = re.findall("^Between rounds: .*$", page, re.M)
    assert said == "Between rounds: 43% in the median, 67% at most (plain, 1x2x3x1)."


def test_who_is_far_slower_stands_at_the_edge_of_the_picture(load):
    draw, tally = load("draw"), load("tally")
    sizes = [f"{batch}x2x3x1" for batch in range(1, 13)]
    table = {
        size: {"plain": tally.Seen(1.5, 1.5, {}), "torch": tally.Seen(0.8, 0.8, {})}
        for size in sizes
    }
    table[sizes[0]]["torch"] = tally.Seen(33.0, 33.0, {})
    names, low, high = draw.extent([table])
    assert names == ["plain", "torch"]
    assert 0.7 < low < 0.8
    assert 1.5 < high < 2
    assert {1, 1.3} <= set(draw.ticks(low, high))
    assert {1, 2, 5, 10, 20} <= set(draw.ticks(0.7, 40))
    # Of few, nobody is far.
    assert draw.extent([dict(list(table.items())[:2])])[2] > 33


def test_goals_take_the_fastest_rival_of_each_size_and_say_what_is_missed(load, tmp_path):
    def group(size, **rivals):
        seen = {name.replace("_", "."): times(ms) for name, ms in rivals.items()}
        return "GRU", size, 1, 1, {"train": {"jaxrnn": times(10.0)} | seen}

    record = record_of(
        load,
        tmp_path / "out.json",
        group("1x70x35x3", flax_linen=20.0, keras=14.0, torch=15.0),
        group("50x50x128x2", flax_linen=9.0, keras=40.0, torch=7.0),
        group("64x64x256x2", flax_nnx=18.0, plain=1.0, torch=9.0),
    )
    page = list(load("goals").goals(load("tally").collect(record)))
    assert [line.split("against ")[1] for line in page if "against" in line] == [
        (
            "the fastest of flax, equinox, haiku, keras | 1.40 | 0.90 (50x50x128x2) | 3 "
            "| median ≥ 1.30 and each ≥ 1.00 | **no** |"
        ),
        "torch, batch 1 | 1.50 | 1.50 (1x70x35x3) | 1 | each ≥ 1.00 | yes |",
        "torch, else | 0.80 | 0.70 (50x50x128x2) | 2 | each ≥ 0.74 | **no** |",
    ]
