"""StableHLO artifacts: the same numbers without jaxrnn, and no damage that passes."""

import dataclasses
import inspect
import io
import json
import random
import subprocess
import sys
import textwrap
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import random_like

import jaxrnn
from jaxrnn import export
from jaxrnn.cell import named_leaves
from jaxrnn.errors import ConversionError, CorruptFileError, MissingExtraError, ModelFileError
from jaxrnn.folds import scan

pytest.importorskip("flatbuffers", reason="jax.export serializes with flatbuffers")

NETWORKS = {
    "cell": jaxrnn.LSTM(3, 4),
    "both ways": jaxrnn.lstm_network(3, 4, num_layers=2, bidirectional=True, dropout=0.5),
    "tokens, learned start": jaxrnn.stack(
        jaxrnn.Embedding(7, 3), jaxrnn.learned_carry(jaxrnn.GRU(3, 4)), jaxrnn.Linear(4, 7)
    ),
    "no carry": jaxrnn.Linear(3, 2),
}


def model(name, dtype=np.float64):
    network = NETWORKS[name]
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return network, random_like(shapes, seed=1, scale=0.5, dtype=dtype)


def sequence(network, time, rows, dtype=np.float64):
    rng = np.random.default_rng(2)
    if network.takes_tokens:
        return jnp.asarray(rng.integers(network.input_size, size=(time, rows)), jnp.int32)
    return jnp.asarray(rng.standard_normal((time, rows, network.input_size)), dtype)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_an_artifact_gives_the_bits_of_scan_for_any_batch_and_time(tmp_path, name, dtype):
    network, params = model(name, dtype)
    export.save(tmp_path / "a.zip", network, params)
    artifact = export.load(tmp_path / "a.zip")
    for time, rows in ((1, 1), (17, 3)):
        xs = sequence(network, time, rows, dtype)
        carry, ys = artifact(xs)
        expected_carry, expected = jaxrnn.unroll(network, params, xs, fold=scan)
        assert ys.dtype == expected.dtype
        np.testing.assert_array_equal(ys, expected)
        assert sorted(carry) == sorted(name for name, _ in named_leaves(expected_carry))
        for leaf_name, leaf in named_leaves(expected_carry):
            np.testing.assert_array_equal(carry[leaf_name], leaf)


def test_a_sequence_may_be_cut_and_the_carry_handed_on(tmp_path):
    network, params = model("tokens, learned start")
    export.save(tmp_path / "a.zip", network, params)
    artifact, xs = export.load(tmp_path / "a.zip"), sequence(network, 5, 2)
    _, whole = artifact(xs)
    carry, pieces = None, []
    for x in xs:
        carry, y = artifact(x[None], carry)
        pieces.append(y)
    np.testing.assert_allclose(jnp.concatenate(pieces), whole, rtol=1e-13)


def test_lengths_where_the_artifact_takes_them(tmp_path):
    network, params = model("both ways")
    export.save(tmp_path / "a.zip", network, params, lengths=True)
    artifact, xs = export.load(tmp_path / "a.zip"), sequence(network, 6, 3)
    _, ys = artifact(xs, lengths=[6, 0, 2])
    _, expected = jaxrnn.unroll(network, params, xs, lengths=[6, 0, 2], fold=scan)
    np.testing.assert_array_equal(ys, expected)
    for lengths, problem in ((None, "needs lengths"), ([6, 7, 0], "from 0 to 6"), ([1], "3 numb")):
        with pytest.raises(ConversionError, match=problem):
            artifact(xs, lengths=lengths)


# What the docstring shows, in a process that cannot find jaxrnn.
SCRIPT = """
import sys
sys.modules["jaxrnn"] = None  # whoever imports it gets an ImportError
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
xs = np.load("xs.npy")
{snippet}
np.savez("out.npz", ys=ys, **carry)
assert not [name for name in sys.modules if name.startswith("jaxrnn.")]
"""


def docstring_snippet():
    text = inspect.getdoc(export)
    begin, end = text.index("import hashlib"), text.index("JAX promises")
    return textwrap.dedent("    " + text[begin:end])


@pytest.mark.parametrize("name", ["both ways", "tokens, learned start"])
def test_an_artifact_runs_where_jaxrnn_cannot_be_imported(tmp_path, name):
    network, params = model(name)
    xs = sequence(network, 9, 4)
    export.save(tmp_path / "model.zip", network, params)
    np.save(tmp_path / "xs.npy", xs)
    script = SCRIPT.format(snippet=docstring_snippet())
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    carry, ys = jaxrnn.unroll(network, params, xs)
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["ys"], ys, rtol=1e-12)
        for leaf_name, leaf in named_leaves(carry):
            np.testing.assert_allclose(out[leaf_name], leaf, rtol=1e-12)


def test_the_config_says_what_goes_in_and_out(tmp_path):
    network, params = model("cell")
    export.save(tmp_path / "a.zip", network, params, platforms=("cpu",), vocabulary=["a", "b"])
    config = export.load(tmp_path / "a.zip").config
    assert config["xs"] == {"shape": ["time", "batch", 3], "dtype": "float64"}
    assert config["ys"] == {"shape": ["time", "batch", 4], "dtype": "float64"}
    assert config["carry"]["c"] == {"shape": ["batch", 4], "dtype": "float64"}
    assert config["metadata"] == {"vocabulary": ["a", "b"]}
    assert (config["platforms"], config["lengths"]) == (["cpu"], False)


def test_equal_networks_give_equal_bytes(tmp_path):
    network, params = model("cell")
    for name in "ab":
        export.save(tmp_path / name, network, params, platforms=("cpu",))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Damage.


def test_no_damage_is_silent(tmp_path):
    path = tmp_path / "a.zip"
    export.save(path, *model("cell", np.float32), platforms=("cpu",))
    raw, good = path.read_bytes(), export._read(path)
    chance = random.Random(0)
    damaged = [raw[:length] for length in chance.sample(range(len(raw)), 200)]
    for bit in chance.sample(range(8 * len(raw)), 1000):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for _ in range(100):
        start = chance.randrange(len(raw))
        damaged.append(raw[:start] + bytes(min(16, len(raw) - start)) + raw[start + 16 :])
    damaged += [raw + b"\x00", raw[:8] + raw[9:]]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            found = export._read(path)
        except CorruptFileError:
            refused += 1
        else:  # harmless, as in a date or behind the end of the zip
            assert found == good
    assert refused > 0.9 * len(damaged)


def test_the_digest_is_looked_at(tmp_path):
    """Two sound artifacts, one member exchanged and every checksum of the zip right."""
    network, params = model("cell")
    export.save(tmp_path / "a", network, params, platforms=("cpu",))
    export.save(tmp_path / "b", network, jax.tree.map(jnp.negative, params), platforms=("cpu",))
    with zipfile.ZipFile(tmp_path / "a") as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(tmp_path / "b") as file:
        members["forward.stablehlo"] = file.read("forward.stablehlo")
    with zipfile.ZipFile(tmp_path / "c", "w") as file:
        for name, raw in members.items():
            file.writestr(name, raw)
    with pytest.raises(CorruptFileError, match=r"c': damaged .* SHA-256"):
        export.load(tmp_path / "c")


def hostile(compression=zipfile.ZIP_STORED, **extra):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", compression) as file:
        for name in export._MEMBERS:
            file.writestr(name, b"\x00" * 10_000)
        for name, content in extra.items():
            file.writestr(name, content)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "no zip"),
        (b"PK\x03\x04 and so on", "no zip"),
        (hostile(), "SHA-256"),
        (hostile(zipfile.ZIP_DEFLATED), "not an artifact"),
        (hostile(**{"../escape": b"x"}), "not an artifact"),
    ],
    ids=["empty", "torn", "foreign", "compressed", "one member more"],
)
def test_foreign_files_are_refused(tmp_path, raw, problem):
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(CorruptFileError, match=problem):
        export.load(tmp_path / "a.zip")


def test_what_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.zip': cannot be read \(No such file"):
        export.load(tmp_path / "none.zip")
    with pytest.raises(ModelFileError, match="not a regular file"):
        export.load(tmp_path)
    with pytest.raises(ModelFileError, match="cannot be written"):
        export.save(tmp_path / "none" / "a.zip", *model("cell"))


def test_other_versions_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    export.save(path, *model("cell"), platforms=("cpu",))
    members = export._read(path)
    for name, content, problem in (
        ("config.json", json.dumps({"format": "9"}).encode(), "format version '9'"),
        ("forward.stablehlo", b"\x00" * 64, "write it anew"),
    ):
        path.write_bytes(export._zipped(members | {name: content}))
        with pytest.raises(ModelFileError, match=problem):
            export.load(path)


def test_float64_needs_a_jax_that_computes_in_it(tmp_path):
    export.save(tmp_path / "a.zip", *model("cell"), platforms=("cpu",))
    with jax.enable_x64(False), pytest.raises(ModelFileError, match="jax_enable_x64"):
        export.load(tmp_path / "a.zip")


# Arguments.


def test_arguments_that_do_not_fit_are_refused(tmp_path):
    network, params = model("cell")
    export.save(tmp_path / "a.zip", network, params, platforms=("cpu",))
    artifact = export.load(tmp_path / "a.zip")
    carry, _ = artifact(jnp.zeros((2, 3, 3)))
    for xs, given, problem in (
        (jnp.zeros((2, 3, 4)), None, r"shape \(2, 3, 4\); expected \[time, batch, 3\]"),
        (jnp.zeros((2, 3)), None, "expected"),
        (jnp.zeros((2, 0, 3)), None, "at least one row"),
        (jnp.zeros((2, 3, 3), int), None, "dtype int"),
        (jnp.zeros((2, 5, 3)), carry, r"carry is .*\(3, 4\)"),
        (jnp.zeros((2, 3, 3)), jnp.zeros(3), "carry is"),
    ):
        with pytest.raises(ConversionError, match=problem):
            artifact(xs, given)


def test_tokens_outside_the_table_are_refused(tmp_path):
    export.save(tmp_path / "a.zip", *model("tokens, learned start"), platforms=("cpu",))
    artifact = export.load(tmp_path / "a.zip")
    for tokens in ([[7]], [[-1]], [[0.5]]):
        with pytest.raises(ConversionError, match="from 0 to 6"):
            artifact(jnp.asarray(tokens))


def test_another_platform_is_refused(tmp_path):
    export.save(tmp_path / "a.zip", *model("cell"), platforms=("tpu",))
    with pytest.raises(ConversionError, match="runs on tpu, and not on cpu"):
        export.load(tmp_path / "a.zip")(jnp.zeros((2, 3, 3)))


@dataclasses.dataclass(frozen=True, repr=False)
class HostCell(jaxrnn.Cell):
    """A cell that leaves the program, which no artifact can do."""

    input_size: int

    def init(self, key):
        return ()

    def initial_carry(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.input_size))

    def step(self, params, carry, drive):
        h = jax.pure_callback(np.tanh, jax.ShapeDtypeStruct(carry.shape, carry.dtype), drive)
        return h, h


def test_what_cannot_be_exported_is_one_sentence(tmp_path):
    network, params = model("cell")
    for platforms in (("abacus",), "cpu", ()):
        with pytest.raises(ConversionError, match="expected some of cpu, cuda"):
            export.save(tmp_path / "a.zip", network, params, platforms=platforms)
    with pytest.raises(ConversionError, match="HostCell.* cannot be exported"):
        export.save(tmp_path / "a.zip", HostCell(3), (), platforms=("cpu",))
    with pytest.raises(ConversionError, match="metadata cannot be written as JSON"):
        export.save(tmp_path / "a.zip", network, params, platforms=("cpu",), note=object())
    with pytest.raises((TypeError, ValueError), match="LSTM"):
        export.save(tmp_path / "a.zip", network, params._replace(bias=None))
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[export\]'"):
        export.load(tmp_path / "a.zip")
