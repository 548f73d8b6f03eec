"""Networks written to ONNX: run by onnxruntime, read back, stepped, damaged."""

import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, random_point

import jaxrnn
from jaxrnn.cell import named_leaves
from jaxrnn.errors import ConversionError, CorruptFileError, ModelFileError
from jaxrnn.interop.onnx import (
    OnnxActivation,
    OnnxGRU,
    OnnxLSTM,
    export_language_model,
    export_onnx,
    import_language_model,
    import_onnx,
    run_onnx,
)
from jaxrnn.interop.onnx.files import read_model
from jaxrnn.text import ByteVocabulary, CharVocabulary
from jaxrnn.text.language_model import LanguageModel, ModelConfig, build_network
from jaxrnn.text.sampling import generate

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

PEEPHOLES = OnnxLSTM(
    3,
    4,
    OnnxActivation("HardSigmoid", 0.25, 0.5, clip=0.75),
    OnnxActivation("LeakyRelu", 0.125, clip=0.75),
    OnnxActivation("Softsign"),
    coupled=True,
    use_peepholes=True,
)
GENERAL_GRU = OnnxGRU(
    3, 4, candidate_activation=OnnxActivation("Affine", 0.5, 0.125), reset_after=False
)
NETWORKS = {
    "elman": jaxrnn.Elman(3, 4),
    "elman elu": jaxrnn.Elman(3, 4, activation=jax.nn.elu, use_bias=False),
    "elman of onnx": jaxrnn.bidirectional(
        jaxrnn.Elman(3, 4, activation=OnnxActivation("LeakyRelu", 0.25, clip=0.5))
    ),
    "lstm": jaxrnn.LSTM(3, 4),
    "gru without bias": jaxrnn.GRU(3, 4, use_bias=False),
    "reset before": jaxrnn.reverse(jaxrnn.ResetBeforeGRU(3, 4)),
    "peepholes": jaxrnn.bidirectional(PEEPHOLES),
    "gru of onnx": GENERAL_GRU,
    "added": jaxrnn.bidirectional(jaxrnn.GRU(3, 4), merge=jaxrnn.add),
    "of two kinds": jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 5)),
    "of two kinds, added": jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.Elman(3, 4), jaxrnn.add),
    "of stacks": jaxrnn.bidirectional(
        jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.GRU(4, 5)),
        jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Linear(4, 2)),
    ),
    "residual": jaxrnn.stack(
        jaxrnn.Linear(3, 4),
        jaxrnn.residual(jaxrnn.GRU(4, 4)),
        jaxrnn.residual(jaxrnn.stack(jaxrnn.LSTM(4, 6), jaxrnn.Linear(6, 4, use_bias=False))),
    ),
    "of torch": jaxrnn.lstm_network(3, 4, num_layers=2, bidirectional=True),
    "tagger": jaxrnn.stack(
        jaxrnn.Embedding(7, 3), jaxrnn.LSTM(3, 4), jaxrnn.GRU(4, 5), jaxrnn.Linear(5, 7)
    ),
    "one hot": jaxrnn.stack(jaxrnn.OneHot(7), jaxrnn.GRU(7, 4), jaxrnn.Linear(4, 7)),
    "nothing recurrent": jaxrnn.Linear(3, 4),
}
# What is written acts without noise, so it is read as another network of the same function.
OTHER = {
    "dropout": jaxrnn.gru_network(3, 4, num_layers=2, dropout=0.5),
    "noise within": jaxrnn.stack(
        jaxrnn.VariationalDropout(3, 0.5),
        jaxrnn.StateDropout(jaxrnn.GRU(3, 4), 0.5),
        jaxrnn.WeightDrop(jaxrnn.bidirectional(jaxrnn.UpdateDropout(jaxrnn.LSTM(4, 3), 0.5)), 0.5),
    ),
    "reversed twice": jaxrnn.reverse(jaxrnn.bidirectional(jaxrnn.reverse(jaxrnn.LSTM(3, 4)))),
}


def session_of(path):
    return onnxruntime.InferenceSession(path.read_bytes())


def run_session(session, inputs):
    names = [value.name for value in session.get_outputs()]
    inputs = {name: np.asarray(array) for name, array in inputs.items()}
    return dict(zip(names, session.run(None, inputs), strict=True))


def named(prefix, carry):
    return {f"{prefix}.{name}": leaf for name, leaf in named_leaves(carry)}


@pytest.mark.parametrize("everything", [False, True], ids=["plain", "lengths and carry"])
@pytest.mark.parametrize("name", [*NETWORKS, *OTHER])
def test_onnxruntime_agrees(tmp_path, name, everything):
    network = (NETWORKS | OTHER)[name]
    path = tmp_path / "model.onnx"
    point = random_point(network, seed=3, time=5, batch=(3,), dtype=np.float32)
    export_onnx(path, network, point.params, lengths=everything, carry=everything)
    session, model = session_of(path), import_onnx(path)
    inputs = {"tokens" if network.takes_tokens else "xs": point.xs}
    carry = lengths = None
    if everything:
        carry, lengths = point.carry, np.array([5, 2, 0], np.int32)
        inputs |= {"lengths": lengths} | named("carry", carry)
    carry, ys = jaxrnn.unroll(network, point.params, point.xs, carry, lengths=lengths)
    want = {"ys": ys} | (named("new_carry", carry) if everything else {})
    found = run_session(session, inputs)
    assert found.keys() == want.keys()
    for output, array in want.items():
        np.testing.assert_allclose(found[output], array, rtol=0, atol=1e-5)
    assert_close(run_onnx(model, inputs), want, tolerance=1e-6)
    if name in NETWORKS:
        assert model.network == network
        assert_close(model.params, point.params, tolerance=0)  # and of one structure
    if not everything:  # nothing in the graph knows how many rows and instants there are
        xs = random_point(network, seed=5, time=9, batch=(1,), dtype=np.float32).xs
        (found,) = run_session(session, {next(iter(inputs)): xs}).values()
        want = jaxrnn.unroll(network, point.params, xs)[1]
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-5)


def test_a_swapped_gate_would_be_seen(tmp_path):
    """The comparison above has teeth: random weights make every gate another."""
    cell = jaxrnn.LSTM(3, 4)
    point = random_point(cell, dtype=np.float32)
    i, f, g, o = jnp.split(point.params.input_kernel, 4, axis=-1)
    swapped = point.params._replace(input_kernel=jnp.concatenate([f, i, g, o], axis=-1))
    export_onnx(tmp_path / "model.onnx", cell, swapped)
    (found,) = run_session(session_of(tmp_path / "model.onnx"), {"xs": point.xs}).values()
    want = jaxrnn.unroll(cell, point.params, point.xs)[1]
    assert np.abs(found - want).max() > 0.01


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_round_trips_are_bit_equal(tmp_path, dtype):
    network = jaxrnn.stack(
        jaxrnn.Embedding(7, 3),
        jaxrnn.LSTM(3, 4),
        jaxrnn.GRU(4, 3),
        PEEPHOLES,
        jaxrnn.ResetBeforeGRU(4, 3),
        jaxrnn.Elman(3, 3),
        jaxrnn.Linear(3, 2),
    )
    rng = np.random.default_rng(0)

    def draw(leaf):
        array = rng.normal(size=leaf.shape).astype(dtype)
        array[..., 0] = -0.0  # which must not become 0 by adding a bias of 0
        return array

    params = jax.tree.map(draw, jax.eval_shape(network.init, jax.random.key(0)))
    export_onnx(tmp_path / "model.onnx", network, params)
    model = import_onnx(tmp_path / "model.onnx")
    assert model.network == network
    for found, want in zip(jax.tree.leaves(model.params), jax.tree.leaves(params), strict=True):
        assert found.dtype == want.dtype and np.asarray(found).tobytes() == want.tobytes()


def test_a_learned_start_is_in_the_graph_or_beside_it(tmp_path):
    network = jaxrnn.stack(
        jaxrnn.learned_carry(jaxrnn.LSTM(3, 4)),
        jaxrnn.learned_carry(jaxrnn.bidirectional(jaxrnn.GRU(4, 3))),
    )
    point, path = random_point(network, dtype=np.float32), tmp_path / "model.onnx"
    export_onnx(path, network, point.params)
    model = import_onnx(path)
    assert model.network == network
    assert_close(model.params, point.params, tolerance=0)
    want = jaxrnn.unroll(network, point.params, point.xs)[1]
    (found,) = run_session(session_of(path), {"xs": point.xs}).values()
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5)
    export_onnx(path, network, point.params, carry=True)
    start = json.loads(import_onnx(path).metadata["start"])
    rows = {name: np.tile(np.float32(row), (2, 1)) for name, row in start.items()}
    found = run_session(session_of(path), {"xs": point.xs} | rows)["ys"]
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [("gru", 8), ("lstm", 0), ("elman", 4)])
def test_onnxruntime_writes_the_same_text(tmp_path, config):
    cell, embedding_size = config
    vocabulary = CharVocabulary("abcdefgh \n")
    network = build_network(
        ModelConfig(cell=cell, layers=2, hidden_size=16, embedding_size=embedding_size),
        vocabulary.size,
    )
    params = jax.tree.map(
        lambda leaf: 2 * leaf.astype(np.float32), random_point(network, seed=11).params
    )
    model, path = LanguageModel(network, params, vocabulary), tmp_path / "model.onnx"
    export_language_model(path, model)
    prompt = "bad cafe"
    pieces = generate(network, params, vocabulary, [prompt], 40, jax.random.key(0), temperature=0.0)
    want = "".join(piece for (piece,) in pieces)

    session = session_of(path)
    known = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])
    characters = known["characters"]
    tokens = [characters.index(character) for character in prompt]
    carry = {
        value.name: np.zeros((1, *value.shape[1:]), np.float32)
        for value in session.get_inputs()
        if value.name != "tokens"
    }
    text = ""
    for _ in want:
        found = run_session(session, {"tokens": np.array(tokens, np.int64)[:, None]} | carry)
        tokens = [int(found.pop("ys")[-1, 0].argmax())]
        carry = {name.removeprefix("new_"): array for name, array in found.items()}
        text += characters[tokens[0]]
    assert text == want and len(set(text)) > 1

    found = import_language_model(path)
    assert found.network == network and found.vocabulary == vocabulary
    assert_close(found.params, params, tolerance=0)


def test_what_is_no_language_model(tmp_path):
    cell = jaxrnn.GRU(3, 4)
    path = tmp_path / "model.onnx"
    export_onnx(path, cell, cell.init(jax.random.key(0)))
    with pytest.raises(ConversionError, match="holds no vocabulary"):
        import_language_model(path)
    vocabulary = json.dumps(ByteVocabulary().describe())
    export_onnx(
        path, cell, cell.init(jax.random.key(0)), metadata={"vocabulary": vocabulary, "note": "é"}
    )
    assert import_onnx(path).metadata["note"] == "é"
    with pytest.raises(ConversionError, match="does not predict the 256 tokens"):
        import_language_model(path)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (jaxrnn.ProjectedLSTM(3, 4, 2), "its LSTM has no projection"),
        (jaxrnn.Zoneout(jaxrnn.LSTM(3, 4), 0.1), "cannot mix the new state with the old one"),
        (jaxrnn.Elman(3, 4, activation=jnp.sin), "no such activation; it has elu, leaky_relu"),
        (jaxrnn.MixedPrecision(jaxrnn.GRU(3, 4)), "no counterpart in ONNX"),
        (
            jaxrnn.bidirectional(jaxrnn.GRU(3, 4), merge=jnp.maximum),
            "merges its directions in a way",
        ),
        (
            OnnxLSTM(3, 4, OnnxActivation("Sigmoid", clip=0.5)),
            "a node of ONNX has one clip",
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_onnx_cannot_express(tmp_path, network, message):
    with pytest.raises(ConversionError, match=message) as caught:
        export_onnx(tmp_path / "model.onnx", network, network.init(jax.random.key(0)))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_arguments_of_export_are_checked(tmp_path):
    cell = jaxrnn.GRU(3, 4)
    params = cell.init(jax.random.key(0))
    with pytest.raises((TypeError, ValueError)):
        export_onnx(tmp_path / "model.onnx", cell, jaxrnn.LSTM(3, 4).init(jax.random.key(0)))
    mixed = params._replace(bias=params.bias.astype(np.float32))
    with pytest.raises(ConversionError, match="several dtypes, float32, float64"):
        export_onnx(tmp_path / "model.onnx", cell, mixed)
    with pytest.raises(ConversionError, match="metadata have 'epoch': 3; expected texts"):
        export_onnx(tmp_path / "model.onnx", cell, params, metadata={"epoch": 3})
    with pytest.raises(ModelFileError, match="cannot be written"):
        export_onnx(tmp_path / "none" / "model.onnx", cell, params)


def test_equal_networks_are_equal_files(tmp_path):
    network = jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Linear(4, 2))
    params = network.init(jax.random.key(0))
    for name in "ab":
        export_onnx(tmp_path / name, network, params, carry=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    network = jaxrnn.stack(jaxrnn.Embedding(5, 2), jaxrnn.GRU(2, 3), jaxrnn.Linear(3, 5))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    model = LanguageModel(network, network.init(jax.random.key(0)), CharVocabulary("abcde"))
    export_language_model(path, model)
    return path


def test_no_damage_is_silent(written, tmp_path):
    raw, good = written.read_bytes(), read_model(written)
    chance = random.Random(0)
    damaged = [raw[:length] for length in chance.sample(range(len(raw)), 200)]
    for bit in chance.sample(range(8 * len(raw)), 1000):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    damaged += [raw + b"\x00", raw + raw, raw[1:], raw.replace(b"jaxrnn.sha256", b"jaxrnn.sha257")]
    # Seven bytes more in a text, and protobuf reads the digest as the name of another producer.
    damaged.append(raw.replace(b"CharV", b"ChseventyarV"))
    path, refused = tmp_path / "damaged.onnx", 0
    for content in damaged:
        path.write_bytes(content)
        try:
            model = import_onnx(path)
        except ModelFileError as error:
            assert str(path) in str(error) and isinstance(error, CorruptFileError)
            refused += 1
        else:  # protobuf may write the same message in two ways
            assert read_model(path).SerializeToString(deterministic=True) == (
                good.SerializeToString(deterministic=True)
            )
            assert model.metadata
    assert refused >= len(damaged) - 5


def test_a_damaged_foreign_file_never_ends_in_a_traceback(written):
    """Without a digest nobody can see every flip, but a file is read, or refused in a sentence."""
    proto = onnx.load_from_string(written.read_bytes())
    del proto.metadata_props[:]
    proto.producer_name = "another"
    raw = proto.SerializeToString()
    chance = random.Random(1)
    read = 0
    for _ in range(600):
        flipped = bytearray(raw)
        for _ in range(chance.randrange(1, 4)):
            flipped[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            import_onnx(bytes(flipped))
            read += 1
        except (ConversionError, ModelFileError) as error:
            assert "\n" not in str(error)
    assert 0 < read < 600
