"""Every section of `examples/migrating.md` runs by itself, where its peer is installed."""

import doctest
import re
from pathlib import Path

import jax
import pytest

PAGE = Path(__file__).parent.parent / "examples" / "migrating.md"
SECTIONS = {
    title: "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    for title, _, text in (
        part.partition("\n") for part in PAGE.read_text("utf-8").split("\n## ")[1:]
    )
}
PEERS = {
    "From torch": ["torch"],
    "From Flax": [],
    "From Keras": ["keras"],
    "From Haiku": ["haiku"],
    "From Equinox": ["equinox"],
    "To ONNX": ["onnx", "onnxruntime"],
    "To a program of its own": [],
}


def test_every_section_is_known_and_has_a_session():
    assert list(SECTIONS) == list(PEERS)
    assert all(">>> " in session for session in SECTIONS.values())


@pytest.mark.parametrize("title", PEERS)
def test_a_section_runs(title, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for peer in PEERS[title]:
        pytest.importorskip(peer, reason=f"'{title}' needs {peer}")
    monkeypatch.chdir(tmp_path)
    session = doctest.DocTestParser().get_doctest(SECTIONS[title], {}, title, None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    output: list[str] = []
    # As JAX is when a reader begins.
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        failed = doctest.DocTestRunner(optionflags=flags).run(session, out=output.append).failed
    assert not failed, "".join(output)
