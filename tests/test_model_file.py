import builtins
import dataclasses
import inspect
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import jaxrnn
from jaxrnn import atomic_file, description, initializers, model_file
from jaxrnn.description import describe, from_description, register
from jaxrnn.errors import ModelFileError
from jaxrnn.model_file import check_writable, load_model, save_model

LAYERS = [
    jaxrnn.Elman(3, 4, activation=jax.nn.relu, recurrent_init=initializers.Identity()),
    jaxrnn.GRU(3, 4, use_bias=False),
    jaxrnn.ResetBeforeGRU(3, 4),
    jaxrnn.stack(jaxrnn.Embedding(7, 5), jaxrnn.LSTM(5, 6), jaxrnn.Linear(6, 7)),
    jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.residual(jaxrnn.GRU(3, 3))),
    jaxrnn.bidirectional(jaxrnn.LSTM(3, 4), jaxrnn.GRU(3, 4), merge=jaxrnn.add),
    jaxrnn.learned_carry(jaxrnn.reverse(jaxrnn.GRU(3, 4))),
    jaxrnn.SplitBias(jaxrnn.LSTM(3, 4)),
    jaxrnn.stack(jaxrnn.Dropout(3, 0.1), jaxrnn.Zoneout(jaxrnn.ProjectedLSTM(3, 4, 2))),
]


@register
@dataclasses.dataclass(frozen=True)
class Scale(jaxrnn.Cell):
    """A user's own cell, whose parameters are a dictionary."""

    input_size: int

    def init(self, key):
        return {"scale": jnp.ones((self.input_size,)), "shift": jnp.zeros(())}

    def initial_carry(self, batch_shape=()):
        return ()

    def step(self, params, carry, drive):
        return carry, params["scale"] * drive


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_every_public_layer_and_initializer_is_known():
    kinds = [*vars(jaxrnn).values(), *vars(initializers).values()]
    concrete = {
        kind
        for kind in kinds
        if isinstance(kind, type)
        and issubclass(kind, jaxrnn.Layer | initializers.Initializer)
        and not inspect.isabstract(kind)
    }
    assert len(concrete) > 20
    assert concrete <= set(description._KNOWN.values())


@pytest.mark.parametrize("layer", [*LAYERS, Scale(2)], ids=repr)
def test_layers_survive_description(layer):
    assert from_description(json.loads(json.dumps(describe(layer)))) == layer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("layer", [*LAYERS, Scale(2)], ids=repr)
def test_models_survive_the_file(tmp_path, key, layer, dtype):
    path = tmp_path / "model.safetensors"
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), layer.init(key))
    save_model(path, layer, params, note="é😀", numbers=[1, 2.5, None])
    network, loaded, metadata = load_model(path)
    assert network == layer and metadata == {"note": "é😀", "numbers": [1, 2.5, None]}
    assert_same(loaded, params)
    assert list(tmp_path.iterdir()) == [path]


def test_transposed_arrays_are_written_in_their_logical_order(tmp_path, key):
    """safetensors by itself writes the memory of such an array as it lies."""
    layer = jaxrnn.Linear(3, 5)
    params = layer.init(key)
    fortran = params._replace(kernel=np.asfortranarray(params.kernel))
    assert not fortran.kernel.flags.c_contiguous
    save_model(tmp_path / "model", layer, fortran)
    assert_same(load_model(tmp_path / "model").params, params)


@pytest.fixture
def saved(tmp_path, key):
    layer = jaxrnn.stack(jaxrnn.Embedding(5, 2), jaxrnn.GRU(2, 3), jaxrnn.Linear(3, 5))
    path = tmp_path / "model.safetensors"
    save_model(path, layer, layer.init(key), vocabulary={"characters": "abcde"})
    return path


def test_loading_runs_no_code(saved, monkeypatch):
    def bomb(*args, **kwargs):
        raise AssertionError("code was about to run")

    for owner, name in [(pickle, "loads"), (pickle, "load"), (pickle, "Unpickler")]:
        monkeypatch.setattr(owner, name, bomb)
    monkeypatch.setattr(builtins, "eval", bomb)
    load_model(saved)


def test_float64_is_not_rounded_in_silence(saved):
    with jax.enable_x64(False), pytest.raises(ModelFileError, match="jax_enable_x64"):
        load_model(saved)


def test_only_what_belongs_together_is_saved(tmp_path, key):
    layer = jaxrnn.Linear(2, 3)
    with pytest.raises(ModelFileError, match="do not belong"):
        save_model(tmp_path / "model", layer, jaxrnn.Linear(3, 2).init(key))
    with pytest.raises(ModelFileError, match="JSON"):
        save_model(tmp_path / "model", layer, layer.init(key), note={1, 2})
    unknown = jaxrnn.Elman(2, 3, activation=lambda x: x)
    with pytest.raises(ModelFileError, match="register"):
        save_model(tmp_path / "model", unknown, unknown.init(key))
    ambiguous = {"a.b": jnp.zeros(1), "a": {"b": jnp.zeros(1)}}
    with pytest.raises(ModelFileError, match="same name"):
        save_model(tmp_path / "model", Scale(2), ambiguous)
    assert not list(tmp_path.iterdir())


def test_a_name_means_one_thing():
    assert register(Scale) is Scale
    with pytest.raises(ValueError, match="already registered"):
        register(jnp.cos, name="tanh")
    assert description.from_description({"function": "tanh"}) is jnp.tanh


def test_a_failed_write_leaves_the_old_file(saved, key, monkeypatch):
    before = saved.read_bytes()
    layer = jaxrnn.Linear(2, 2)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic_file.os, "fsync", full)
        with pytest.raises(ModelFileError, match="No space left"):
            save_model(saved, layer, layer.init(key))

    def garbled(arrays, metadata):
        return safetensors_save(arrays, metadata)[:-1] + b"\x7f"

    safetensors_save = safetensors.numpy.save
    monkeypatch.setattr(model_file.safetensors.numpy, "save", garbled)
    with pytest.raises(ModelFileError, match="SHA-256"):
        save_model(saved, layer, layer.init(key))
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


def test_a_link_stays_a_link(tmp_path, saved, key):
    link = tmp_path / "link"
    link.symlink_to(saved)
    layer = jaxrnn.Linear(2, 2)
    save_model(link, layer, layer.init(key))
    assert link.is_symlink() and load_model(saved).network == layer


@pytest.mark.parametrize("place", [".", "none/model", "file/model", "nul\x00"])
def test_places_where_nothing_can_be_written(tmp_path, key, place):
    (tmp_path / "file").touch()
    layer = jaxrnn.Linear(2, 2)
    with pytest.raises(ModelFileError, match="cannot be written"):
        check_writable(tmp_path / place)
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(tmp_path / place, layer, layer.init(key))


def test_checking_leaves_nothing_behind(saved):
    before = saved.read_bytes()
    check_writable(saved)
    check_writable(saved.parent / "new")
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]
