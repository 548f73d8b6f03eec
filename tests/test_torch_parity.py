"""`torch.nn` computes the same, values and gradients, in float64 with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import Point, assert_close, pull, random_point, random_probe

import jaxrnn

torch = pytest.importorskip("torch")


# torch.nn module, the cell of one layer of ours, our name of what torch's carry holds.
ELMAN = (torch.nn.RNN, jaxrnn.Elman, {})
RELU = (torch.nn.RNN, jaxrnn.Elman, {"nonlinearity": "relu"})
LSTM = (torch.nn.LSTM, jaxrnn.LSTM, {})
GRU = (torch.nn.GRU, jaxrnn.GRU, {})
PROJECTED = (torch.nn.LSTM, jaxrnn.ProjectedLSTM, {"proj_size": 2})
HIDDEN = 4


def network(kind, layers, bidirectional, bias):
    """Our network, and torch's module of the same make."""
    make_torch, make_cell, options = kind
    module = make_torch(
        3, HIDDEN, layers, bias=bias, bidirectional=bidirectional, **options
    ).double()
    stacked, width = [], 3
    for _ in range(layers):
        if options.get("nonlinearity"):
            cell = make_cell(width, HIDDEN, activation=jax.nn.relu, use_bias=bias)
        elif options.get("proj_size"):
            cell = make_cell(width, HIDDEN, 2, use_bias=bias)
        else:
            cell = make_cell(width, HIDDEN, use_bias=bias)
        layer = jaxrnn.bidirectional(cell) if bidirectional else cell
        stacked.append(layer)
        width = layer.output_size
    return jaxrnn.stack(*stacked), module


def one_way_trees(tree, bidirectional):
    """The cells' parts of a tree of a stack, in torch's order: layer by layer, forward first."""
    for layer in tree.layers:
        yield from (layer.forward, layer.backward) if bidirectional else (layer,)


def suffixes(layers, bidirectional):
    return [f"_l{n}{way}" for n in range(layers) for way in ("", "_reverse")[: 1 + bidirectional]]


def split_bias(params):
    """Torch's two biases, made up of ours; a part of the sum each, where there is a sum."""
    bias = np.asarray(params.bias)
    hidden_bias = np.random.default_rng(0).normal(size=bias.shape)
    if hasattr(params, "recurrent_bias"):  # Of the GRU's n, torch keeps both, and so do we.
        hidden_bias[2 * HIDDEN :] = params.recurrent_bias
        return np.concatenate([(bias - hidden_bias)[: 2 * HIDDEN], bias[2 * HIDDEN :]]), hidden_bias
    return bias - hidden_bias, hidden_bias


def hand_over(params, module, suffix):
    """Write our weights into torch's module."""
    weights = {"weight_ih": params.input_kernel.T, "weight_hh": params.recurrent_kernel.T}
    if params.bias is not None:
        weights["bias_ih"], weights["bias_hh"] = split_bias(params)
    if hasattr(params, "projection_kernel"):
        weights["weight_hr"] = params.projection_kernel.T
    for name, value in weights.items():
        with torch.no_grad():
            getattr(module, name + suffix).copy_(torch.tensor(np.asarray(value)))


def assert_same_gradient(gradient, module, suffix):
    """Compare the gradients of one direction of one layer."""

    def of_torch(name):
        return getattr(module, name + suffix).grad.numpy()

    assert_close(np.asarray(gradient.input_kernel), of_torch("weight_ih").T)
    assert_close(np.asarray(gradient.recurrent_kernel), of_torch("weight_hh").T)
    if hasattr(gradient, "projection_kernel"):
        assert_close(np.asarray(gradient.projection_kernel), of_torch("weight_hr").T)
    if gradient.bias is None:
        return
    assert_close(np.asarray(gradient.bias), of_torch("bias_ih"))
    if hasattr(gradient, "recurrent_bias"):
        summed, of_n = np.split(of_torch("bias_hh"), [2 * HIDDEN])
        assert_close(np.asarray(gradient.bias[: 2 * HIDDEN]), summed)
        assert_close(np.asarray(gradient.recurrent_bias), of_n)
    else:
        # Each of torch's biases has the gradient of their sum, which is our one.
        assert_close(np.asarray(gradient.bias), of_torch("bias_hh"))


def torch_state(carry, bidirectional):
    """Our carries as torch's h, or (h, c): one leaf for each layer and direction."""
    cells = list(one_way_trees(carry, bidirectional))
    return [
        torch.tensor(np.stack([getattr(cell, name) for cell in cells]), requires_grad=True)
        for name in cells[0]._fields
    ]


CASES = [
    *((kind, 1, False, True) for kind in (ELMAN, RELU, LSTM, GRU, PROJECTED)),
    *((kind, 1, False, False) for kind in (ELMAN, LSTM, GRU, PROJECTED)),
    (RELU, 2, False, True),
    (LSTM, 3, False, True),
    (GRU, 2, False, False),
    (ELMAN, 1, True, True),
    (LSTM, 1, True, False),
    (GRU, 1, True, True),
    (ELMAN, 2, True, True),
    (LSTM, 2, True, True),
    (GRU, 2, True, True),
    (PROJECTED, 2, True, True),
]


def case_name(case):
    (make_torch, _, options), layers, bidirectional, bias = case
    parts = [make_torch.__name__, *map(str, options.values()), f"{layers} deep"]
    return " ".join(parts + ["both ways"] * bidirectional + ["no bias"] * (not bias))


@pytest.mark.parametrize("case", CASES, ids=case_name)
@pytest.mark.parametrize("fold", [jaxrnn.folds.bptt], ids=["bptt"])
def test_values_and_gradients_are_those_of_torch(case, fold):
    kind, layers, bidirectional, bias = case
    ours, module = network(*case)
    point = random_point(ours, seed=61, time=5, batch=(2,))
    names = suffixes(layers, bidirectional)
    for params, suffix in zip(one_way_trees(point.params, bidirectional), names, strict=True):
        hand_over(params, module, suffix)
    assert len(names) * len(list(kind_weights(kind, bias))) == len(list(module.parameters()))

    probe = random_probe(ours, point)
    (carry, ys), gradient = pull(ours, point, probe, fold=fold)

    xs = torch.tensor(np.asarray(point.xs), requires_grad=True)
    start = torch_state(point.carry, bidirectional)
    their_ys, end = module(xs, tuple(start) if len(start) == 2 else start[0])
    end = end if isinstance(end, tuple) else (end,)
    loss = (their_ys * torch.tensor(np.asarray(probe[1]))).sum()
    for theirs, weight in zip(end, torch_state(probe[0], bidirectional), strict=True):
        loss = loss + (theirs * weight.detach()).sum()
    loss.backward()

    assert_close(np.asarray(ys), their_ys.detach().numpy())
    for got, want in zip(torch_state(carry, bidirectional), end, strict=True):
        assert_close(got.detach().numpy(), want.detach().numpy())
    assert_close(np.asarray(gradient.xs), xs.grad.numpy())
    for got, want in zip(torch_state(gradient.carry, bidirectional), start, strict=True):
        assert_close(got.detach().numpy(), want.grad.numpy())
    for part, suffix in zip(one_way_trees(gradient.params, bidirectional), names, strict=True):
        assert_same_gradient(part, module, suffix)


def kind_weights(kind, bias):
    yield from ("weight_ih", "weight_hh")
    if bias:
        yield from ("bias_ih", "bias_hh")
    if kind is PROJECTED:
        yield "weight_hr"


@pytest.mark.parametrize("kind", [ELMAN, LSTM, GRU], ids=["RNN", "LSTM", "GRU"])
def test_batch_first_and_no_carry(kind):
    ours, module = network(kind, 1, False, True)
    module.batch_first = True
    point = random_point(ours, seed=62, time=4, batch=(2,))
    hand_over(point.params.layers[0], module, "_l0")
    xs = jnp.moveaxis(point.xs, 0, 1)
    _, ys = jaxrnn.unroll(ours, point.params, xs, time_axis=1)
    theirs, _ = module(torch.tensor(np.asarray(xs)))
    assert_close(np.asarray(ys), theirs.detach().numpy())


def test_gru_before_reset_is_another_cell():
    """Torch's weights in the paper's GRU give other numbers: the two may not be mixed up."""
    point = random_point(jaxrnn.ResetBeforeGRU(3, HIDDEN), seed=63)
    after = jaxrnn.GRUParams(*point.params, recurrent_bias=jnp.zeros(HIDDEN))
    _, before_ys = jaxrnn.unroll(jaxrnn.ResetBeforeGRU(3, HIDDEN), point.params, point.xs)
    _, after_ys = jaxrnn.unroll(jaxrnn.GRU(3, HIDDEN), *Point(after, None, point.xs)[::2])
    assert abs(before_ys - after_ys).max() > 1e-3
