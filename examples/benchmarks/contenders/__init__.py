"""Who takes part: one module per library, behind the same two functions.

    equations(model) -> Equations             which function the library's cell is; Skip if none
    build(work, model, **options) -> Ready    the work, ready to be run on the given weights

`build` raises `Skip` for what the library cannot do. Libraries are imported by their own module
only, so that one that is missing is skipped, and a process holds none but its own.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jobs import Equations, Model, Skip

# Every exact fold of jaxrnn by its name; the plain "jaxrnn" is what a user gets who names none.
FOLDS = ("scan", "bptt", "hoisted", "rebuilt", "checkpointed", "offloaded", "cudnn")


class Ready(NamedTuple):
    """A work that is ready.

    Attributes:
      run: do it once and return the result, when its numbers are there.
      differences: `(results of the first runs, reference) -> {name: relative difference}`.
      program: XLA's compiled program, where there is one to look at.
    """

    run: Callable[[], Any]
    differences: Callable[[list[Any], Mapping[str, np.ndarray]], dict[str, float]]
    program: Callable[[], Any] | None = None


class Contender(NamedTuple):
    """Where a contender is found."""

    module: str
    package: str  # what must be installed
    options: dict[str, Any] = {}  # noqa: RUF012 (a default that nobody changes)

    def load(self) -> Any:
        """Its module; raises Skip where the library is missing."""
        if importlib.util.find_spec(self.package) is None:
            raise Skip(f"{self.package} is not installed.")
        return importlib.import_module(f"contenders.{self.module}")

    def equations(self, model: Model) -> Equations:
        """Which function its cell is."""
        return self.load().equations(model)

    def build(self, work: str, model: Model) -> Ready:
        """The work, ready."""
        return self.load().build(work, model, **self.options)


CONTENDERS = {
    "jaxrnn": Contender("of_jaxrnn", "jaxrnn"),
    **{f"jaxrnn.{fold}": Contender("of_jaxrnn", "jaxrnn", {"fold": fold}) for fold in FOLDS},
    "jaxrnn.spread": Contender("of_jaxrnn_spread", "jaxrnn"),
    "plain": Contender("of_plain_jax", "jax"),
    "plain-hoisted": Contender("of_plain_jax", "jax", {"hoisted": True}),
    "flax.linen": Contender("of_flax_linen", "flax"),
    "flax.nnx": Contender("of_flax_nnx", "flax"),
    "equinox": Contender("of_equinox", "equinox"),
    "haiku": Contender("of_haiku", "haiku"),
    "keras": Contender("of_keras", "keras"),
    "torch": Contender("of_torch", "torch"),
    "torch.cells": Contender("of_torch", "torch", {"by_cell": True}),
    "torch.compile": Contender("of_torch", "torch", {"compiled": True}),
    "cudnn": Contender("of_cudnn", "jax"),
}
