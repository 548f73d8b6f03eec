"""The weights and data that every contender is given: NumPy, float32, from one seed."""

from typing import Any, NamedTuple

import numpy as np
from jobs import ALPHABET, VOCABULARY, Equations, Model


class Direction(NamedTuple):
    """One cell: gates i f g o, or r z n, side by side.

    Attributes:
      w: input kernel `[input, gates*width]`.
      r: recurrent kernel `[width, gates*width]`.
      b: bias `[gates*width]`.
      c: the second bias, inside the reset gate of a GRU; zero where a library has none.
    """

    w: np.ndarray
    r: np.ndarray
    b: np.ndarray
    c: np.ndarray


Layers = tuple[tuple[Direction, ...], ...]  # from the lowest up, each with one or two directions


class Weights(NamedTuple):
    """A model of characters: `ys = layers(table[tokens])`, `logits = ys @ kernel + bias`."""

    table: np.ndarray
    layers: Layers
    kernel: np.ndarray
    bias: np.ndarray


class Data(NamedTuple):
    """Time first: what is read, by which gradient the outputs are pulled, and tokens to learn."""

    xs: np.ndarray
    probe: np.ndarray
    tokens: np.ndarray
    targets: np.ndarray


def second_bias_mask(model: Model, equations: Equations) -> np.ndarray:
    """Where the second bias is a parameter."""
    mask = np.zeros(model.gates * model.size.width, np.float32)
    if equations.second_bias == "all":
        mask[:] = 1
    elif equations.second_bias == "n" and model.cell == "GRU":
        mask[2 * model.size.width :] = 1
    return mask


def make_weights(model: Model, equations: Equations) -> Weights:
    """Random weights, no two alike, so that no gate can be taken for another."""
    rng = np.random.default_rng(6)
    width, bound = model.size.width, model.size.width**-0.5

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    mask = second_bias_mask(model, equations)
    gates, layers, reads = model.gates * width, [], width
    for _ in range(model.size.layers):
        layers.append(
            tuple(
                Direction(draw(reads, gates), draw(width, gates), draw(gates), draw(gates) * mask)
                for _ in range(model.directions)
            )
        )
        reads = model.directions * width
    table = rng.standard_normal((VOCABULARY, width)).astype(np.float32)
    return Weights(table, tuple(layers), 4 * draw(reads, VOCABULARY), draw(VOCABULARY))


def make_data(model: Model) -> Data:
    """Random inputs and tokens."""
    rng = np.random.default_rng(7)
    batch, time, width, _ = model.size

    def normal(width: int) -> np.ndarray:
        return rng.standard_normal((time, batch, width)).astype(np.float32)

    tokens = rng.integers(VOCABULARY, size=(2, time, batch), dtype=np.int32)
    return Data(normal(width), normal(model.directions * width), *tokens)


def pack_layers(layers: Layers) -> dict[str, np.ndarray]:
    """Arrays by name, for a file."""
    return {
        f"{number}.{direction}.{name}": np.asarray(value)
        for number, layer in enumerate(layers)
        for direction, cell in enumerate(layer)
        for name, value in cell._asdict().items()
    }


def unpack_layers(arrays: dict[str, np.ndarray], model: Model) -> Layers:
    """What `pack_layers` packed."""
    return tuple(
        tuple(
            Direction(*(arrays[f"{number}.{direction}.{name}"] for name in Direction._fields))
            for direction in range(model.directions)
        )
        for number in range(model.size.layers)
    )


def difference(actual: Any, expected: Any) -> float:
    """The largest difference of two arrays, relative to the largest number of what is expected."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise ValueError(f"got shape {actual.shape}, expected {expected.shape}")
    if not np.isfinite(actual).all():
        return float("inf")
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30))


def spell(tokens: np.ndarray) -> list[str]:
    """The texts of tokens `[streams, characters]`."""
    characters = np.array([ALPHABET]).view("<U1")[tokens]
    return [row.tobytes().decode("utf-32-le") for row in characters]
