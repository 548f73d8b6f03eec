"""How instants are joined: functions `fold(cell, params, carry, xs) -> (carry, ys)`."""

from jaxrnn.folds.automatic import automatic
from jaxrnn.folds.bptt import bptt
from jaxrnn.folds.checkpointed import Checkpointed, checkpointed, offloaded
from jaxrnn.folds.cudnn import cudnn
from jaxrnn.folds.hoisted import hoisted
from jaxrnn.folds.rebuilt import Rebuilt, rebuilt
from jaxrnn.folds.scan import scan
from jaxrnn.folds.spread import Spread, spread
from jaxrnn.folds.truncated import Truncated, truncated

__all__ = [
    "Checkpointed",
    "Rebuilt",
    "Spread",
    "Truncated",
    "automatic",
    "bptt",
    "checkpointed",
    "cudnn",
    "hoisted",
    "offloaded",
    "rebuilt",
    "scan",
    "spread",
    "truncated",
]
