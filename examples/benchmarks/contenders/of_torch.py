"""torch.nn, eager or compiled; this module and its process know nothing of JAX."""

from collections.abc import Callable

import numpy as np
import torch
from jobs import (
    CHARACTERS,
    CLIP,
    LEARNING_RATE,
    STREAMS,
    TRAINING_STEPS,
    VOCABULARY,
    Equations,
    Model,
    Skip,
)
from torch import nn
from weights import Layers, difference, make_data, make_weights, spell, unpack_layers

from contenders import Ready

LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "Elman": nn.RNN}
CELLS = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "Elman": nn.RNNCell}
COMPILED_INSTANTS = 50  # torch.compile writes every instant of every layer out


def equations(model: Model) -> Equations:
    """Two biases everywhere."""
    return Equations("all")


def device() -> torch.device:
    """The GPU, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def build(work: str, model: Model, compiled: bool = False, by_cell: bool = False) -> Ready:
    """The works; whole sequences by a layer, and sampling by a layer or by cells."""
    # Full float32, as the others compute.
    torch.backends.cudnn.allow_tf32 = False
    if by_cell and work not in STREAMS:
        raise Skip("of a whole sequence torch's layers make one call.")
    if compiled:
        if work in STREAMS:
            raise Skip("the loop that samples is Python, compiled or not.")
        instants = model.size.time * model.size.layers * model.directions
        if instants > COMPILED_INSTANTS:
            raise Skip(f"torch.compile writes all {instants} instants out, which takes minutes.")
        torch._dynamo.config.allow_rnn = True  # Without it the layers are left as they are.
    if work in STREAMS:
        return sampling(work, model, by_cell)
    return {"forward": forward, "backward": backward, "train": train}[work](model, compiled)


def as_torch(array: np.ndarray) -> torch.Tensor:
    """A copy on the device; ids as 64-bit integers, as torch wants them."""
    tensor = torch.tensor(array, device=device())
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def network(model: Model, layers: Layers) -> nn.Module:
    """The layers with the given weights."""
    _, _, width, number = model.size
    module = LAYERS[model.cell](width, width, number, bidirectional=model.directions == 2)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), write(layers), strict=True):
            parameter.copy_(torch.tensor(value))
    return module.to(device())


def write(layers: Layers) -> list[np.ndarray]:
    """As torch lists its parameters, direction by direction."""
    return [
        array
        for layer in layers
        for weights in layer
        for array in (weights.w.T, weights.r.T, weights.b, weights.c)
    ]


def forward(model: Model, compiled: bool) -> Ready:
    """All outputs, in inference mode."""
    module = network(model, make_weights(model, equations(model)).layers)
    function = torch.compile(module) if compiled else module
    xs = as_torch(make_data(model).xs)

    @torch.inference_mode()
    def run():
        ys = function(xs)[0]
        wait()
        return ys

    def differences(results, reference):
        return {"ys": difference(results[-1].cpu(), reference["ys"])}

    return Ready(run, differences)


def backward(model: Model, compiled: bool) -> Ready:
    """All outputs, and the gradients of parameters and inputs."""
    module = network(model, make_weights(model, equations(model)).layers)
    function = torch.compile(module) if compiled else module
    data = make_data(model)
    xs, probe = as_torch(data.xs).requires_grad_(), as_torch(data.probe)
    wanted = [xs, *module.parameters()]

    def run():
        ys = function(xs)[0]
        gradients = torch.autograd.grad(ys, wanted, probe)
        wait()
        return ys, gradients

    def differences(results, reference):
        ys, (d_xs, *d_params) = results[-1]
        expected = write(unpack_layers(reference, model))
        pairs = zip(module.named_parameters(), d_params, expected, strict=True)
        found = {
            "ys": difference(ys.detach().cpu(), reference["ys"]),
            "d_xs": difference(d_xs.cpu(), reference["d_xs"]),
        }
        return found | {name: difference(got.cpu(), want) for (name, _), got, want in pairs}

    return Ready(run, differences)


class Cells(nn.Module):
    """The layers as cells, which take one instant with less around it than `nn.LSTM` has."""

    def __init__(self, model: Model, layers: Layers):
        super().__init__()
        width = model.size.width
        self.cells = nn.ModuleList(CELLS[model.cell](width, width) for _ in layers)
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), write(layers), strict=True):
                parameter.copy_(torch.tensor(value))

    def forward(self, xs, carry):
        """One instant, called as the layers are: `[1, batch, width]`."""
        x, states = xs[0], []
        for cell, state in zip(self.cells, carry or [None] * len(self.cells), strict=True):
            states.append(cell(x, state))
            x = states[-1][0] if isinstance(states[-1], tuple) else states[-1]
        return x[None], states


class CharacterModel(nn.Module):
    """Embedding, layers and output layer."""

    def __init__(self, model: Model, make: Callable[[Model, Layers], nn.Module] = network):
        super().__init__()
        weights = make_weights(model, equations(model))
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(weights.table), freeze=False)
        self.layers = make(model, weights.layers)
        self.output = nn.Linear(model.directions * model.size.width, VOCABULARY)
        with torch.no_grad():
            self.output.weight.copy_(torch.tensor(weights.kernel.T))
            self.output.bias.copy_(torch.tensor(weights.bias))
        self.to(device())

    def forward(self, tokens, carry=None):
        """Logits, and the carry after the last instant."""
        ys, carry = self.layers(self.embedding(tokens), carry)
        return self.output(ys), carry


def train(model: Model, compiled: bool) -> Ready:
    """A training step; Adam in its fused form."""
    module, data = CharacterModel(model), make_data(model)
    function = torch.compile(module) if compiled else module
    tokens, targets = as_torch(data.tokens), as_torch(data.targets)
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=True)

    def run():
        optimizer.zero_grad()
        logits, _ = function(tokens)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        wait()
        return loss.detach(), norm

    def differences(results, reference):
        losses, norms = np.array([tuple(map(float, r)) for r in results[:TRAINING_STEPS]]).T
        return {
            "losses": difference(losses, reference["losses"]),
            "norms": difference(norms, reference["norms"]),
        }

    return Ready(run, differences)


def sampling(work: str, model: Model, by_cell: bool) -> Ready:
    """The usual loop: one character through the layers, draw, feed it back."""
    streams = STREAMS[work]
    module = CharacterModel(model, Cells if by_cell else network)

    @torch.inference_mode()
    def run(temperature=1.0):
        carry, tokens = None, []
        token = torch.zeros(streams, dtype=torch.long, device=device())
        for _ in range(CHARACTERS):
            logits, carry = module(token[None], carry)
            if temperature:
                chances = torch.softmax(logits[0] / temperature, dim=-1)
                token = torch.multinomial(chances, 1)[:, 0]
            else:
                token = logits[0].argmax(dim=-1)
            tokens.append(token)
        return spell(torch.stack(tokens, dim=1).cpu().numpy())

    def differences(results, reference):
        expected = spell(reference[work])
        return {"characters": float(run(temperature=0.0) != expected)}

    return Ready(run, differences)
