"""State dicts in files: read back as they were, damaged or hostile refused, nothing executed."""

import os
import pickle
import random
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import jaxrnn
from jaxrnn.errors import CorruptFileError, MissingExtraError, ModelFileError
from jaxrnn.interop.torch import (
    export_state_dict,
    files,
    import_module,
    import_state_dict,
    read_state_dict,
)

torch = pytest.importorskip("torch", reason="torch is not installed")

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def saved(path, content):
    """A file as torch's users write it."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(content, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_what_is_written_from_here_is_read_back(tmp_path, suffix, dtype):
    network, params = import_module(torch.nn.GRU(3, 4, dtype=dtype), two_biases=True)
    state_dict = export_state_dict(network, params)
    path = saved(tmp_path / f"model{suffix}", state_dict)
    assert import_state_dict(read_state_dict(path), jaxrnn.GRU)[0] == jaxrnn.gru_network(3, 4)
    again = import_state_dict(read_state_dict(str(path)), jaxrnn.GRU, two_biases=True)
    assert again[0] == network
    for name, tensor in export_state_dict(*again).items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, state_dict[name])


def test_a_checkpoint_is_read_by_dotted_names(tmp_path):
    module = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(3, 4)})
    optimizer = torch.optim.Adam(module.parameters())
    sum(weight.sum() for weight in module.parameters()).backward()
    optimizer.step()
    content = {"epoch": 3, "model": module.state_dict(), "optimizer": optimizer.state_dict()}
    state_dict = read_state_dict(saved(tmp_path / "last.ckpt", content))
    assert list(state_dict) == [f"model.{name}" for name in module.state_dict()]
    network, _ = import_state_dict(state_dict, jaxrnn.LSTM, prefix="model.lstm")
    assert network == jaxrnn.lstm_network(3, 4)


def test_safetensors_need_no_torch(tmp_path, monkeypatch):
    path = saved(tmp_path / "model.safetensors", torch.nn.RNN(3, 4).state_dict())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert read_state_dict(path)["weight_ih_l0"].shape == (4, 3)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[torch\]'"):
        read_state_dict(tmp_path / "model.pt")


def damaged(raw, chance, count):
    """Flips, truncations and zeroed blocks."""
    for number in range(count):
        broken = bytearray(raw)
        place = chance.randrange(len(raw))
        if number % 4 == 0:
            del broken[place:]
        elif number % 8 == 1:
            broken[place : place + 16] = bytes(len(broken[place : place + 16]))
        else:
            broken[place] ^= 1 << chance.randrange(8)
        if broken != raw:
            yield bytes(broken)


def read_or_refused(path):
    """What a damaged file is read as; None where it is refused, in a sentence."""
    try:
        return read_state_dict(path)
    except ModelFileError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return None


def test_no_damage_to_what_torch_saved_is_silent(tmp_path):
    path = saved(tmp_path / "model.pt", torch.nn.GRU(2, 2).state_dict())
    raw, good = path.read_bytes(), read_state_dict(path)
    refused = 0
    for content in damaged(raw, random.Random(0), 1000):
        path.write_bytes(content)
        found = read_or_refused(path)
        refused += found is None
        if found is not None:
            assert found.keys() == good.keys()
            assert all(torch.equal(found[name], good[name]) for name in good)
    assert refused > 500  # What is left lies in padding and in dates.


def test_a_damaged_safetensors_file_is_refused_where_it_can_be(tmp_path):
    """It has no digest: flips among its numbers go unnoticed, and nothing else may come of any."""
    path = saved(tmp_path / "model.safetensors", torch.nn.GRU(2, 2).state_dict())
    raw, good = path.read_bytes(), read_state_dict(path)
    header = 8 + int.from_bytes(raw[:8], "little")
    for content in damaged(raw, random.Random(0), 1000):
        path.write_bytes(content)
        found = read_or_refused(path)
        assert found is None or len(content) == len(raw)
        if found is not None and content[:header] == raw[:header]:
            assert {name: array.shape for name, array in found.items()} == {
                name: array.shape for name, array in good.items()
            }


class Hostile:
    """What runs a program where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path):
    mark = tmp_path / "executed"
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"hostile{suffix}"
        for save in (
            lambda content, path=path: torch.save(content, path),
            lambda content, path=path: torch.save(
                content, path, _use_new_zipfile_serialization=False
            ),
            lambda content, path=path: path.write_bytes(pickle.dumps(content)),
        ):
            save({"weight": Hostile(mark)})
            assert read_or_refused(path) is None
            assert not mark.exists()
    # The last one did hold a program.
    pickle.loads(path.read_bytes())
    assert mark.exists()


LOOP = {"weight": torch.zeros(2)}
LOOP["again"] = LOOP
DEEP = {"weight": torch.zeros(2)}
for _ in range(20):
    DEEP = {"inside": DEEP}
TWICE = {"weight": torch.zeros(2)}
REFUSED = {
    "a module": (torch.nn.RNN(2, 2), r"namely torch.nn.modules.rnn.RNN.*module.state_dict\(\)"),
    "an object": ({"weight": Hostile("nowhere")}, r"namely \w+\.mkdir"),
    "NumPy's": ({"weight": np.zeros(2)}, "namely numpy"),
    "a list": ([torch.zeros(2)], "a value of type list; expected a state dict"),
    "no tensors": ({"epoch": 3}, "no tensors by name"),
    "a loop": (LOOP, "stands in two places, as at 'again'"),
    "too deep": (DEEP, "nested more than 16 deep"),
    "twice": ({"a": TWICE, "b": TWICE}, "stands in two places, as at 'b'"),
    "two by one name": (
        {"a.weight": torch.zeros(2), "a": {"weight": torch.ones(2)}},
        "two tensors by the name of 'a.weight'",
    ),
    "larger than its file": (
        {"weight": torch.zeros(1).expand(2**31, 2)},
        "larger than the 8,589,934,592 bytes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_state_dict_is_refused_in_a_sentence(tmp_path, name):
    content, message = REFUSED[name]
    path = saved(tmp_path / "file.pt", content)
    with pytest.raises(ModelFileError, match=rf"^'.*file\.pt': [^\n]*{message}[^\n]*\.$"):
        read_state_dict(path)


def test_files_that_are_none(tmp_path, key):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"weight": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    jaxrnn.model_file.save_model(
        tmp_path / "ours.safetensors", jaxrnn.GRU(2, 2), jaxrnn.GRU(2, 2).init(key)
    )
    saved(tmp_path / "eight.safetensors", {"weight": torch.zeros(2).to(torch.float8_e5m2)})
    for name, message in {
        "missing.pt": "cannot be read",
        "missing.safetensors": "cannot be read",
        "pipe.pt": "not a regular file",
        "text.pt": "not a file of torch.save",
        "old.pt": "older than torch 1.6",
        "ours.safetensors": "read it with jaxrnn.model_file.load_model",
        "eight.safetensors": "a dtype that NumPy does not have",
    }.items():
        with pytest.raises(ModelFileError, match=f"{name}': .*{message}"):
            read_state_dict(tmp_path / name)


def test_archives_that_unpack_to_more_than_is_read(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10**6))
    monkeypatch.setattr(files, "MAX_BYTES", 10**5)
    assert path.stat().st_size < files.MAX_BYTES
    with pytest.raises(ModelFileError, match="holds more than the 100,000 bytes"):
        read_state_dict(path)


def test_a_swapped_record_is_noticed(tmp_path):
    """A sound archive whose numbers are not those that were saved, as after a bad repair."""
    path = saved(tmp_path / "model.pt", {"weight": torch.ones(2)})
    raw = path.read_bytes()
    numbers = np.ones(2, "float32").tobytes()
    assert raw.count(numbers) == 1
    path.write_bytes(raw.replace(numbers, np.full(2, 2, "float32").tobytes()))
    assert torch.load(path, weights_only=True)["weight"].tolist() == [2, 2]  # Torch does not look.
    with pytest.raises(CorruptFileError, match="the checksum of 'model/data/0' does not match"):
        read_state_dict(path)


def test_a_state_dict_of_arrays_is_read_whoever_wrote_it(tmp_path):
    arrays = {"weight": np.ones((2, 3), "float32"), "bias": np.zeros(2, "float32")}
    safetensors.numpy.save_file(arrays, tmp_path / "linear.safetensors")
    found = read_state_dict(tmp_path / "linear.safetensors")
    assert import_state_dict(found, jaxrnn.Linear)[0] == jaxrnn.Linear(3, 2)
