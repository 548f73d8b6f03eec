"""What torch and jaxrnn cannot say to each other is refused, in one sentence that says why."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.errors import ConversionError
from jaxrnn.interop.torch import (
    chain,
    export_carry,
    export_cell,
    export_module,
    export_state_dict,
    import_carry,
    import_module,
    import_state_dict,
)

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

GRU, LSTM = jaxrnn.GRU, jaxrnn.LSTM


def refused(call, message):
    with pytest.raises(ConversionError, match=message) as caught:
        call()
    assert re.fullmatch(r"[^\n]*\.", str(caught.value))


class Mine(nn.LSTM):
    pass


def hooked():
    module = nn.Linear(3, 4)
    module.register_forward_hook(lambda *_: None)
    return module


def overridden():
    module = nn.Linear(3, 4)
    module.forward = lambda x: x
    return module


def shared():
    module = nn.Linear(3, 3)
    return nn.Sequential(module, module)


def tied():
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5)
    head.weight = embedding.weight
    return nn.ModuleList([embedding, head])


def sparse():
    module = nn.Embedding(5, 3)
    module.weight = nn.Parameter(module.weight.detach().to_sparse())
    return module


def mixed():
    module = nn.GRU(3, 4)
    module.bias_hh_l0 = nn.Parameter(module.bias_hh_l0.detach().double())
    return module


MODULES = {
    "no module": (lambda: {}, "expected a torch module, got a value of type dict"),
    "another layer": (lambda: nn.Conv1d(3, 4, 1), r"conv\.Conv1d has no counterpart .*`chain`"),
    "a subclass": (lambda: Mine(3, 4), r"Mine is a subclass or a parametrization"),
    "a parametrization": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        "ParametrizedLinear is a subclass or a parametrization",
    ),
    "a hook": (hooked, r"torch\.nn\.Linear has forward hooks"),
    "a forward": (overridden, r"or a forward of its own"),
    "max_norm": (lambda: nn.Embedding(5, 3, max_norm=1.0), r"max_norm=1\.0 shortens its vectors"),
    "meta": (lambda: nn.RNN(3, 4, device="meta"), r"nn\.RNN: weight 'weight_ih_l0' .* no numbers"),
    "complex": (
        lambda: nn.Linear(3, 4, dtype=torch.complex64),
        r"nn\.Linear: weight 'weight' has dtype complex64; expected one of bfloat16, float16",
    ),
    "float8": (lambda: nn.Linear(3, 4).to(torch.float8_e5m2), "has dtype float8_e5m2"),
    "sparse": (sparse, r"is a sparse tensor; give a dense one, by \.to_dense\(\)"),
    "mixed dtypes": (mixed, "several dtypes, weight_ih_l0 float32, .* bias_hh_l0 float64; cast"),
    "Dropout alone": (lambda: nn.Dropout(0.5), "does not say how wide it is"),
    "Identity alone": (nn.Identity, "Identity has no counterpart in jaxrnn"),
    "nothing": (nn.Sequential, "Sequential holds no layer with weights"),
    "nothing but noise": (lambda: nn.ModuleList([nn.Dropout(0.5)]), "holds no layer with weights"),
    "inside": (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "ReLU has no counterpart"),
    "a Cell inside": (lambda: nn.Sequential(nn.GRUCell(3, 4)), "begins anew at every instant"),
    "shared": (shared, "share weights, which layers of jaxrnn do not"),
    "tied": (tied, "share weights, which layers of jaxrnn do not"),
    "batch_first": (
        lambda: nn.ModuleList([nn.GRU(3, 3, batch_first=True), nn.LSTM(3, 3)]),
        "some modules of torch.nn.ModuleList have batch_first=True and others False",
    ),
    "widths": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4)), "make the two equal"),
    "order": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Embedding(4, 3)), "reads token ids"),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_without_counterpart(name):
    make, message = MODULES[name]
    module = make()
    refused(lambda: import_module(module), message)


def test_chains_are_of_pairs():
    linear = import_module(nn.Linear(3, 4))
    for models in ([nn.Linear(3, 4)], linear, [linear[0]], [(linear[1], linear[0])]):
        refused(lambda models=models: chain(*models), "expected pairs of a network and its")
    refused(chain, "got no layers")
    refused(lambda: chain(linear, linear), "make the two equal")


def weights(kind=nn.LSTM, **options):
    state_dict = kind(3, 4, **options).state_dict()
    return {name: tensor.numpy() for name, tensor in state_dict.items()}


DEEP = weights(num_layers=2, bidirectional=True)
ONES = np.ones((2, 4), "float32")


def without(*names):
    return {name: array for name, array in DEEP.items() if name not in names}


def inside(prefix):
    return {prefix + name: array for name, array in DEEP.items()}


STATE_DICTS = {
    "a module": (nn.GRU(3, 4), {}, "for a module call import_module"),
    "a file": ("model.pt", {}, "for a file read_state_dict first"),
    "not names": ({0: ONES}, {}, "expected a mapping from names to tensors"),
    "nothing": ({}, {}, "begins with ''; there are none"),
    "two missing": (
        without("weight_hh_l1", "bias_ih_l0_reverse"),
        {},
        "weight 'bias_ih_l0_reverse' is missing, weight 'weight_hh_l1' is missing; expected weight",
    ),
    "a layer missing": (
        {name.replace("l1", "l7"): array for name, array in DEEP.items()},
        {},
        "weight 'weight_ih_l1' is missing, .* and 36 more; expected",
    ),
    "layers missing": (
        {"weight_hh_l999999999": ONES},
        {},
        "weight_hh_l999999999 is of layer 999999999, .* layers below it are missing",
    ),
    "two unknown": (
        DEEP | {"weight_xx": ONES, "norm.bias": ONES},
        {},
        "weight 'weight_xx' is not known here, weight 'norm.bias' is not known here; expected",
    ),
    "unknown and missing": (
        without("bias_hh_l0") | {"bias_hh_10": ONES},
        {},
        "weight 'bias_hh_l0' is missing, weight 'bias_hh_10' is not known here",
    ),
    "two misshapen": (
        DEEP | {"weight_hh_l1": ONES, "bias_ih_l0": ONES[0]},
        {},
        r"'bias_ih_l0' has shape \(4,\); expected \(16,\), .*'weight_hh_l1' has shape \(2, 4\)",
    ),
    "another cell": (DEEP, {"kind": GRU}, "16 rows for 4 columns, the 4 blocks of an LSTM; a GRU"),
    "another cell too": (weights(nn.GRU), {}, "12 rows for 4 columns, the 3 blocks of a GRU"),
    "no cell": (DEEP, {"kind": jaxrnn.Elman, "activation": jnp.tanh}, "an Elman .* has 1: give"),
    "projected GRU": (
        weights(nn.GRU) | {"weight_hr_l0": ONES},
        {"kind": GRU},
        "weight 'weight_hr_l0' is not known here",
    ),
    "no projection": (DEEP, {"kind": jaxrnn.ProjectedLSTM}, "weight_hr_l0 is missing, which a"),
    "no activation": (DEEP, {"kind": jaxrnn.Elman}, "give activation=jnp.tanh"),
    "an activation": (DEEP, {"activation": jnp.tanh}, "LSTM has no activation"),
    "dropout of 2": (DEEP, {"dropout": 2.0}, "dropout must be a probability"),
    "no between": (weights(), {"dropout": 0.5}, "num_layers=1 has no between"),
    "dropout of Linear": (DEEP, {"kind": jaxrnn.Linear, "dropout": 0.5}, "Linear has no dropout"),
    "no such kind": (DEEP, {"kind": jaxrnn.Stack}, "kind must be jaxrnn.LSTM, GRU, Elman,"),
    "torch's kind": (DEEP, {"kind": nn.LSTM}, "kind must be jaxrnn.LSTM, GRU, Elman,"),
    "no Linear": (DEEP, {"kind": jaxrnn.Linear}, "expected 'weight' with two axes for a Linear"),
    "a wrong prefix": (inside("e."), {"prefix": "rnn"}, "begins with 'rnn.'; there are 'e.weight"),
    "no prefix": (inside("a.b."), {}, r"give one of these as prefix: 'a\.b\.'"),
    "half a prefix": (inside("a.b."), {"prefix": "a"}, r"give one of these as prefix: 'a\.b\.'"),
    "nothing recurrent": ({"a.weight": ONES}, {}, "stand under ''; there are 'a.weight'"),
    "no array": (DEEP | {"bias_ih_l0": 3.0}, {}, "'bias_ih_l0' is a value of type float; expected"),
    "integers": (
        DEEP | {"bias_ih_l0": np.zeros(16, int)},
        {},
        "'bias_ih_l0' has dtype int64; expected an array of floating-point numbers",
    ),
    "empty": ({"weight_ih_l0": ONES[:0], "weight_hh_l0": ONES[:0]}, {}, "must be a positive int"),
    "larger than memory": (
        {"weight_ih_l0": torch.ones(1).expand(2**50, 1), "weight_hh_l0": torch.zeros(2**50, 0)},
        {},
        r"weight 'weight_hh_l0' has shape \(1125899906842624, 0\); expected",
    ),
}


@pytest.mark.parametrize("name", STATE_DICTS)
def test_state_dicts_that_do_not_fit(name):
    state_dict, options, message = STATE_DICTS[name]
    refused(lambda: import_state_dict(state_dict, **({"kind": LSTM} | options)), message)


def test_float64_is_not_rounded_unasked():
    module = nn.GRU(3, 4, dtype=torch.float64)
    network = jaxrnn.gru_network(3, 4)
    with jax.enable_x64(False):
        refused(lambda: import_module(module), "float64 numbers, which this JAX would round to f")
        refused(
            lambda: import_carry(network, torch.zeros(1, 4, dtype=torch.float64)),
            "import_carry: h holds float64 numbers",
        )
        assert import_module(module.float())[0] == network


EXPORTS = {
    "reset before": (jaxrnn.ResetBeforeGRU(3, 4), "resets the state after the product"),
    "from the end": (jaxrnn.reverse(GRU(3, 4)), "reads from the end only"),
    "another activation": (
        jaxrnn.stack(jaxrnn.Elman(3, 4, activation=jax.nn.sigmoid)),
        "activation=sigmoid.* cannot be exported to torch: torch.nn.RNN has tanh and relu",
    ),
    "two widths": (jaxrnn.bidirectional(GRU(3, 4), GRU(3, 5)), "the same cell both ways"),
    "a sum": (jaxrnn.bidirectional(GRU(3, 4), merge=jaxrnn.add), "the outputs side by side"),
    "deep both ways": (
        jaxrnn.bidirectional(jaxrnn.stack(GRU(3, 4), GRU(4, 4))),
        "run one cell each way; export the layers inside",
    ),
    "unit vectors": (jaxrnn.stack(jaxrnn.OneHot(3), GRU(3, 4)), "feed them unit vectors"),
    "a learned start": (jaxrnn.learned_carry(GRU(3, 4)), "hand params.start over"),
    "zoneout": (jaxrnn.Zoneout(GRU(3, 4), 0.5), "mixes old and new states"),
    "nothing but noise": (jaxrnn.VariationalDropout(3, 0.5), "noise that torch has no module for"),
}


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("export", [export_state_dict, export_module])
def test_networks_without_counterpart(export, name, key):
    network, message = EXPORTS[name]
    refused(lambda: export(network, network.init(key)), message)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (jaxrnn.ProjectedLSTM(3, 4, 2), "torch.nn.LSTMCell has no projection; export_module"),
        (jaxrnn.Linear(3, 4), "it has Cells for Elman, LSTM and GRU only"),
        (jaxrnn.gru_network(3, 4, 2), "it has Cells for Elman, LSTM and GRU only"),
        (jaxrnn.bidirectional(GRU(3, 4)), "its bidirectional modules"),
    ],
)
def test_cells_without_counterpart(cell, message, key):
    refused(lambda: export_cell(cell, cell.init(key)), message)


def test_parameters_of_another_network_and_without_numbers(key):
    params = LSTM(3, 4).init(key)
    for export in (export_state_dict, export_module, export_cell):
        refused(
            lambda export=export: export(GRU(3, 4), params),
            "`recurrent_bias` is missing",
        )
    refused(
        lambda: jax.jit(lambda params: export_state_dict(LSTM(3, 4), params))(params),
        "parameter `input_kernel` is a traced value without numbers",
    )


DEEP_LSTM = jaxrnn.lstm_network(3, 4, 2, bidirectional=True)
ZEROS = torch.zeros(4, 5, 4)
CARRIES = {
    "one of two": (DEEP_LSTM, ZEROS, r"expected \(h, c\) for .*, got a value of type Tensor"),
    "two of one": (GRU(3, 4), (ZEROS, ZEROS), r"h is a value of type tuple"),
    "layers": (DEEP_LSTM, (ZEROS[:3], ZEROS[:3]), r"h has shape \(3, 5, 4\); .*\[4, \*batch, 4\]"),
    "width": (DEEP_LSTM, (ZEROS, ZEROS[..., :3]), r"c has shape \(4, 5, 3\); expected \[4, \*b"),
    "no layers": (DEEP_LSTM, (ZEROS[:, 0, 0], ZEROS), r"h has shape \(4,\); expected \[4, \*bat"),
    "batches": (DEEP_LSTM, (ZEROS, ZEROS[:, 0]), r"batch axes \(5,\) and \(\); expected the same"),
    "none": (jaxrnn.Linear(3, 4), ZEROS, "has no carry that one torch module has"),
    "unlike": (jaxrnn.stack(GRU(3, 4), jaxrnn.Elman(4, 4)), ZEROS, "of several kinds or sizes"),
}


@pytest.mark.parametrize("name", CARRIES)
def test_states_that_do_not_fit(name):
    network, state, message = CARRIES[name]
    refused(lambda: import_carry(network, state), message)


def test_carries_of_another_network():
    carry = jaxrnn.gru_network(3, 4, 2).initial_carry((5,))
    for network in (DEEP_LSTM, GRU(3, 4), jaxrnn.gru_network(3, 5, 2)):
        refused(lambda network=network: export_carry(network, carry), "that is no carry of")
    refused(
        lambda: jax.jit(lambda: export_carry(GRU(3, 4), GRU(3, 4).initial_carry()))(),
        "carry `h` is a traced value",
    )
