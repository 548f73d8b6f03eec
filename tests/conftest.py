"""The suite is strict: float64, no silent broadcasting; and no warning is forgiven (pyproject)."""

import importlib
import os
import signal

import jax
import pytest
from benchmark_files import EXAMPLES, HERE, times
from compilation import FLAGS

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)

# Whoever is begun in the background (`nohup … &`) ignores Ctrl-C, and so do the processes that it
# begins; some tests interrupt themselves and those.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# XLA reads its flags once, when JAX first needs a device. They are not for processes that tests
# begin, which would inherit them.
before = os.environ.get("XLA_FLAGS")
os.environ["XLA_FLAGS"] = f"{FLAGS} {before or ''}"
jax.devices()
del os.environ["XLA_FLAGS"]
if before is not None:
    os.environ["XLA_FLAGS"] = before

from prepared import WRITTEN  # noqa: E402  (which imports jaxrnn, for which all of this is)

from jaxrnn.text import files, token_file  # noqa: E402


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """What one file compiled, no other needs; kept, it would add up to gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def small_pieces(monkeypatch):
    """So that characters, words and blocks of texts are cut everywhere, and blocks are many."""
    monkeypatch.setattr(files, "PIECE", 7)
    monkeypatch.setattr(token_file, "BLOCK", 64)


@pytest.fixture
def written(tmp_path):
    """A file with a text of many scripts."""
    path = tmp_path / "text"
    path.write_bytes(WRITTEN.encode())
    return path


@pytest.fixture
def compilations():
    """The durations of what XLA compiled while the test ran."""
    seen = []

    def listener(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listener)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listener)


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def pretend(load, monkeypatch):
    """`run.main` without a single process: who is asked to measure what is written down."""
    run, asked = load("run"), []

    def contest(group, names, rounds, seconds, references):
        asked.append((group.name, group.works))
        return {work: {name: times(*[2.0] * rounds) for name in names} for work in group.works}

    monkeypatch.setattr(run.contest, "contest", contest)
    monkeypatch.setattr(run.here, "machine", lambda: HERE)
    return run.main, asked


@pytest.fixture
def stand_in(monkeypatch):
    """cuDNN on this machine's CPU."""
    from cudnn_stand_in import standing_in

    yield from standing_in(monkeypatch)
