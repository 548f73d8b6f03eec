"""The equations again, as NumPy loops written from papers and notebooks.

Nothing here imports jaxrnn, and nothing is fast: one gate per line, one instant at a time. An
oracle is `step(params, carry, x) -> (carry, y)`; it reads weights and carries by name only.
"""

from oracles.elman import elman
from oracles.gru import gru, reset_before_gru
from oracles.loop import unroll
from oracles.lstm import lstm, projected_lstm

__all__ = ["elman", "gru", "lstm", "projected_lstm", "reset_before_gru", "unroll"]
