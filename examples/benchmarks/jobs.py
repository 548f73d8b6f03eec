"""What is measured: sizes, cells, directions and works, each under the name that filters know."""

from typing import NamedTuple

CHARACTERS = 256  # that one call writes in each stream
MANY_STREAMS = 64
TRAINING_STEPS = 3  # whose losses are compared
LEARNING_RATE = 2e-3
CLIP = 1.0  # the global norm that gradients are clipped to
ALPHABET = (
    "\n !'(),-.:;?" + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + "$"
)  # of the models that train and sample
VOCABULARY = len(ALPHABET)


class Size(NamedTuple):
    """Rows, instants, width of inputs and states, layers."""

    batch: int
    time: int
    width: int
    layers: int

    @property
    def name(self) -> str:
        """As the command line spells it: 16x50x128x2."""
        return "x".join(map(str, self))


SIZES = {
    size.name: size
    for size in (
        Size(1, 70, 35, 3),
        Size(16, 50, 128, 2),
        Size(50, 50, 128, 2),
        Size(64, 64, 256, 2),
        Size(64, 64, 512, 1),
        Size(8, 1000, 128, 1),
        Size(256, 20, 64, 1),
    )
}
CELLS = ("LSTM", "GRU", "Elman")
DIRECTIONS = {"uni": 1, "bi": 2}
WORKS = {
    "forward": "all outputs",
    "backward": "all outputs, and the gradients of weights and inputs",
    "train": "embedding, layers, output layer, cross-entropy, clip by global norm, Adam",
    "sample-1": f"{CHARACTERS} characters in one stream",
    "sample-64": f"{CHARACTERS} characters in each of {MANY_STREAMS} streams",
}
STREAMS = {"sample-1": 1, "sample-64": MANY_STREAMS}


def count(number: float, one: str, many: str = "") -> str:
    """1 core, 2 cores."""
    return f"{number:g} {one if number == 1 else many or one + 's'}"


def cores_of(number: int) -> str:
    """1 core, 2 cores."""
    return count(number, "core")


class Model(NamedTuple):
    """The network that every contender builds."""

    cell: str
    size: Size
    directions: int = 1

    @property
    def gates(self) -> int:
        """Blocks that lie side by side in a kernel: i f g o, or r z n, or one."""
        return {"LSTM": 4, "GRU": 3, "Elman": 1}[self.cell]


class Equations(NamedTuple):
    """What a library's cell computes, where libraries differ.

    Attributes:
      second_bias: which gates have a bias of their own beside the recurrent kernel: "none", "n"
        (the GRU's candidate) or "all" (torch, which adds two biases everywhere).
      reset: whether a GRU resets after the recurrent product or before it.
      activation: of an Elman cell.
    """

    second_bias: str = "none"
    reset: str = "after"
    activation: str = "tanh"

    @property
    def note(self) -> str:
        """What is not the common cell; a second bias is no other function, only more weights."""
        if self.reset == "before":
            return "resets before the product"
        return "" if self.activation == "tanh" else f"{self.activation} instead of tanh"


class Skip(Exception):
    """Raised by a contender that cannot take part; the message is a sentence that says why."""
