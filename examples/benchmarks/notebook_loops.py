"""The training loops of the five notebooks as they write them: Python loops in PyTorch and NumPy.

The other side of `notebooks.py`, which times them, and of the tests, which compare every loss. Each
function trains a module in place and returns the loss of every epoch.
"""

import numpy as np
import torch
from torch import nn


class ConcatRNN(nn.Module):
    """First notebook: both maps read the input beside the PREVIOUS hidden state."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.i2h = nn.Linear(inputs + hidden, hidden)
        self.i2o = nn.Linear(inputs + hidden, outputs)

    def forward(self, x, h):
        """One instant."""
        joint = torch.cat((x, h), dim=1)
        return self.i2o(joint), torch.tanh(self.i2h(joint))


class ElmanRNN(nn.Module):
    """First notebook, second network: two maps with a bias each; the output reads the new state."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.i2h = nn.Linear(inputs, hidden)
        self.h2h = nn.Linear(hidden, hidden)
        self.i2o = nn.Linear(hidden, outputs)

    def forward(self, x, h):
        """One instant."""
        h = torch.tanh(self.i2h(x) + self.h2h(h))
        return self.i2o(h), h


class ReadOut(nn.Module):
    """Second notebook: `nn.RNN` and a linear layer."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.rnn = nn.RNN(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, xs):
        """All instants."""
        return self.fc(self.rnn(xs)[0])


def one_hot(tokens, size: int):
    """One-hot vectors in torch's default dtype."""
    return torch.eye(size)[torch.as_tensor(np.array(tokens), dtype=torch.long)]


def hello_pytorch(net, tokens, size: int, epochs: int, loss: str, learning_rate=0.01):
    """First notebook: one character at a time, Adam, the losses of all characters summed."""
    xs = one_hot(tokens, size)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    loss_fn = nn.MSELoss() if loss == "MSE" else nn.NLLLoss()
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        h = torch.zeros(1, net.i2h.out_features)
        total = 0
        for t in range(len(xs) - 1):
            y, h = net(xs[t : t + 1], h)
            if loss == "MSE":
                total = total + loss_fn(y.view(-1), xs[t + 1])
            else:
                total = total + loss_fn(torch.log_softmax(y, dim=-1), xs[t + 1 : t + 2].argmax(-1))
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return losses


def sequence(net, inputs, targets, size: int, epochs: int, learning_rate=0.1):
    """Second and third notebook: the whole sequence in one call of `nn.RNN` or `nn.LSTM`, Adam."""
    xs = one_hot(inputs, size)[None]
    targets = torch.as_tensor(np.array(targets), dtype=torch.long)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        ys = net(xs)
        ys = ys[0] if isinstance(ys, tuple) else ys
        loss = nn.functional.cross_entropy(ys.view(-1, size), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def remember(net, tokens, size: int, epochs: int, batch: int = 1, learning_rate=0.01):
    """Fourth notebook: three LSTM layers, one instant at a time, windows that begin in a row."""
    xs = one_hot(tokens, size)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    loss_fn = nn.MSELoss()
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        shape = (net.num_layers, batch, net.hidden_size)
        carry = torch.zeros(shape), torch.zeros(shape)
        total = 0
        for t in range(len(xs) - batch):
            x = torch.stack([xs[t + row : t + row + 1] for row in range(batch)], dim=1)
            target = torch.stack([xs[t + row + 1 : t + row + 2] for row in range(batch)], dim=1)
            y, carry = net(x, carry)
            total = total + loss_fn(y.reshape(1, -1), target.reshape(1, -1))
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return losses


def vector(weights, words, size: int, epochs: int, learning_rate=0.1):
    """Fifth notebook: NumPy, backpropagation through time, clipped SGD after every word.

    `weights` are Wxh, Whh, Why, bh, by in column vectors; `words` are pairs of input and target
    tokens.
    """
    Wxh, Whh, Why, bh, by = weights
    losses = []
    for _ in range(epochs):
        total = 0.0
        for inputs, targets in words:
            xs, hs, ps = {}, {-1: np.zeros_like(bh)}, {}
            for t in range(len(inputs)):
                xs[t] = np.zeros((size, 1))
                xs[t][inputs[t]] = 1
                hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
                ys = np.exp(Why @ hs[t] + by)
                ps[t] = ys / ys.sum()
                total -= np.log(ps[t][targets[t], 0])
            gradient = dWxh, dWhh, dWhy, dbh, dby = [np.zeros_like(weight) for weight in weights]
            dh_next = np.zeros_like(bh)
            for t in reversed(range(len(inputs))):
                dy = ps[t].copy()
                dy[targets[t]] -= 1
                dWhy += dy @ hs[t].T
                dby += dy
                dh_raw = (1 - hs[t] * hs[t]) * (Why.T @ dy + dh_next)
                dbh += dh_raw
                dWxh += dh_raw @ xs[t].T
                dWhh += dh_raw @ hs[t - 1].T
                dh_next = Whh.T @ dh_raw
            for weight, derivative in zip(weights, gradient, strict=True):
                weight -= learning_rate * np.clip(derivative, -1, 1)
        losses.append(total / len(words))
    return losses
