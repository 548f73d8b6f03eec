"""How instants are joined: functions `fold(cell, params, carry, xs) -> (carry, ys)`."""

from jaxrnn.folds.automatic import automatic
from jaxrnn.folds.bptt import bptt
from jaxrnn.folds.scan import scan
from jaxrnn.folds.truncated import Truncated, truncated

__all__ = ["Truncated", "automatic", "bptt", "scan", "truncated"]
