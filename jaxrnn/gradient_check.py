"""Gradients on trial: JAX's, the ones by hand, and finite differences, side by side."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Cell, Layer, cast
from jaxrnn.folds import bptt, scan
from jaxrnn.networks import Fold, MixedPrecision, OneHot, border, unroll


class LeafComparison(NamedTuple):
    """One gradient leaf, judged by another way of computing it.

    Attributes:
      leaf: its name, such as `params.recurrent_kernel`, `carry.h` or `xs`.
      against: what it was compared with, `bptt by hand` or `finite differences`.
      entries: how many of its numbers were compared, and how many it has.
      absolute: largest absolute difference.
      relative: largest absolute difference, divided by the largest absolute value of the leaf.
      passed: whether `relative` (or `absolute`, for a leaf that is all but zero) is in tolerance.
    """

    leaf: str
    against: str
    entries: tuple[int, int]
    absolute: float
    relative: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found; prints as a table.

    Attributes:
      layer: the cell or network on trial.
      comparisons: one `LeafComparison` per leaf and way of computing it.
      notes: what was not compared, and why.
    """

    layer: Layer
    comparisons: tuple[LeafComparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return all(comparison.passed for comparison in self.comparisons)

    @property
    def failures(self) -> tuple[LeafComparison, ...]:
        """The comparisons that did not pass."""
        return tuple(c for c in self.comparisons if not c.passed)

    def __str__(self) -> str:
        """The table."""
        header = ("gradient of", "JAX against", "entries", "absolute", "relative", "")
        rows = [header] + [
            (
                c.leaf,
                c.against,
                f"{c.entries[0]}/{c.entries[1]}",
                f"{c.absolute:.1e}",
                f"{c.relative:.1e}",
                "ok" if c.passed else "FAILED",
            )
            for c in self.comparisons
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        count = len(self.comparisons)
        verdict = "all passed" if self.passed else f"{len(self.failures)} FAILED"
        summary = f"{count} comparisons, {verdict}"
        return "\n".join([repr(self.layer), *lines, *self.notes, summary])


def check_gradients(
    layer: Layer,
    params: Any,
    xs: Any,
    carry: Any = None,
    *,
    key: jax.Array | None = None,
    entries: int = 100,
    step: float = 1e-6,
    manual_tolerance: float = 1e-10,
    difference_tolerance: float = 1e-6,
) -> GradientReport:
    """Compare JAX's gradient with the one by hand and with central finite differences.

    The function differentiated is a random probe of everything `unroll` returns,

        L = ⟨ys, P⟩ + ⟨carry_T, Q⟩,    P and Q normal,

    with respect to every parameter, the initial carry and the inputs. It is computed in float64,
    also where JAX is in float32 mode: a finite difference in float32 proves nothing.

        JAX                   jax.grad through the fold `scan`
        bptt by hand          jax.grad through the fold `bptt`
        finite differences    (L(θ + step) − L(θ − step)) / (2 step), one number at a time

    Args:
      layer: a cell or network, yours included. By hand is compared where every cell in it is a
        `ManualCell`. `MixedPrecision` is taken off: everything is float64 here.
      params: its parameters, of any floating-point dtype.
      xs: `[time, *batch, input_size]`; keep it short, finite differences take 2 runs per number.
        For a network that reads token ids, `[time, *batch]`; these have no gradient.
      carry: the carry before the first instant; None for `layer.start`.
      key: for the probe and for the choice of entries; None for a fixed one.
      entries: how many numbers of each leaf finite differences are taken for, at most; chosen at
        random in larger leaves.
      step: half the distance of the central difference.
      manual_tolerance: largest relative difference to the gradient by hand.
      difference_tolerance: largest relative difference to finite differences. Kinks (relu) within
        `step` of the point fail it, rightly.

    Returns:
      A `GradientReport`: absolute and relative error and a verdict per leaf. `print` it.

    Raises:
      TypeError, ValueError: as `unroll` does; and if `entries`, `step` or a tolerance is not
        positive.

    Example:
      >>> import jax, jaxrnn
      >>> cell = jaxrnn.Elman(2, 3)
      >>> xs = jax.random.normal(jax.random.key(1), (5, 2))
      >>> report = jaxrnn.check_gradients(cell, cell.init(jax.random.key(0)), xs)
      >>> report.passed, len(report.comparisons)
      (True, 10)
    """
    for name, value in [
        ("entries", entries),
        ("step", step),
        ("manual_tolerance", manual_tolerance),
        ("difference_tolerance", difference_tolerance),
    ]:
        if not value > 0:
            raise ValueError(f"check_gradients: {name} must be positive, got {value!r}.")
    with jax.enable_x64(True):
        key = jax.random.key(0) if key is None else key
        probe_key, entry_key = jax.random.split(key)
        # Through NumPy, since an array made in float32 mode keeps its dtype otherwise.
        point = _float64((params, xs, carry))
        layer = _in_one_precision(layer)
        probe, point = _random_probe(layer, _Point(*point), probe_key)

        by_jax = jax.grad(probe(scan), allow_int=True)(point)
        references: list[tuple[str, Any, float]] = []
        notes = []
        strangers = [cell for cell in _cells(layer) if not cell.knows_backward]
        if strangers:
            notes.append(f"no bptt by hand: {strangers[0]!r} does not say its backward step")
        else:
            by_hand = jax.grad(probe(bptt), allow_int=True)(point)
            references.append(("bptt by hand", by_hand, manual_tolerance))
        measured = _finite_differences(probe(scan), point, step, entries, entry_key)
        references.append(("finite differences", measured, difference_tolerance))
        comparisons = [
            comparison
            for name, gradient, tolerance in references
            for comparison in _compare(point, by_jax, gradient, name, tolerance)
        ]
    return GradientReport(layer, tuple(comparisons), tuple(notes))


class _Point(NamedTuple):
    """Where the gradient is taken."""

    params: Any
    xs: Any
    carry: Any


def _float64(tree: Any) -> Any:
    return cast(jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), tree), jnp.float64)


def _random_probe(
    layer: Layer, point: _Point, key: jax.Array
) -> tuple[Callable[[Fold], Callable[[_Point], jax.Array]], _Point]:
    """From a fold to (point -> L), the same random weights for every fold; and where to take it.

    Without a carry of the user's, the point's is what is added to the layer's own start, so that a
    learned start has its gradient too.
    """
    own_start = point.carry is None
    if own_start:
        _ = unroll(layer, point.params, point.xs)  # Let the border speak before anything else.
        start = layer.start(point.params, border.batch_shape(layer, point.xs))
        point = point._replace(carry=jax.tree.map(jnp.zeros_like, start))

    def run(fold: Fold, point: _Point) -> Any:
        carry = point.carry
        if own_start:
            start = layer.start(point.params, border.batch_shape(layer, point.xs))
            carry = jax.tree.map(jnp.add, start, carry)
        return unroll(layer, point.params, point.xs, carry, fold=fold)

    outputs, structure = jax.tree.flatten(jax.eval_shape(lambda p: run(scan, p), point))
    keys = jax.random.split(key, len(outputs))
    weights = [
        jax.random.normal(leaf_key, out.shape) for leaf_key, out in zip(keys, outputs, strict=True)
    ]

    def with_fold(fold: Fold) -> Callable[[_Point], jax.Array]:
        def probe(point: _Point) -> jax.Array:
            leaves = structure.flatten_up_to(run(fold, point))
            return sum(jnp.sum(leaf * w) for leaf, w in zip(leaves, weights, strict=True))

        return probe

    return with_fold, point


def _cells(layer: Layer) -> list[Cell]:
    """Every cell inside a layer, found in the fields of its description."""
    if isinstance(layer, Cell):
        return [layer]
    values = [getattr(layer, field.name) for field in dataclasses.fields(layer)]
    inner = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
    return [cell for value in inner if isinstance(value, Layer) for cell in _cells(value)]


def _in_one_precision(layer: Layer) -> Layer:
    """`layer` without what narrows a dtype: a comparison near rounding error has no room for it."""
    if isinstance(layer, MixedPrecision):
        return _in_one_precision(layer.layer)
    if isinstance(layer, OneHot):
        return dataclasses.replace(layer, dtype=None)

    def inner(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(inner(v) for v in value)
        return _in_one_precision(value) if isinstance(value, Layer) else value

    fields = {f.name: inner(getattr(layer, f.name)) for f in dataclasses.fields(layer)}
    return dataclasses.replace(layer, **fields)


def _finite_differences(
    probe: Callable, point: _Point, step: float, entries: int, key: jax.Array
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per leaf: which entries were moved, and the slope measured at each."""
    leaves, structure = jax.tree.flatten(point)

    @jax.jit
    def slopes(leaves: list[jax.Array], number_of_leaf: Any, moves: jax.Array) -> jax.Array:
        def value(entry: jax.Array, by: float) -> jax.Array:
            def moved(number: int, leaf: jax.Array) -> jax.Array:
                if not jnp.issubdtype(leaf.dtype, jnp.floating):
                    return leaf
                by_here = jnp.where(number_of_leaf == number, by, 0.0)
                return leaf.ravel().at[entry].add(by_here, mode="drop").reshape(leaf.shape)

            return probe(structure.unflatten([moved(n, leaf) for n, leaf in enumerate(leaves)]))

        def slope(entry: jax.Array) -> jax.Array:
            return (value(entry, step) - value(entry, -step)) / (2 * step)

        return jax.lax.map(slope, moves)

    measured = []
    for number, leaf in enumerate(leaves):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or not leaf.size:
            measured.append((np.arange(0), np.zeros(0)))
            continue
        chosen = np.arange(leaf.size)
        if leaf.size > entries:
            leaf_key = jax.random.fold_in(key, number)
            chosen = np.asarray(jax.random.choice(leaf_key, leaf.size, (entries,), replace=False))
        # Padded to one length, so that one compilation serves every leaf.
        padded = np.resize(chosen, entries)
        measured.append((chosen, np.asarray(slopes(leaves, number, padded))[: chosen.size]))
    return measured


def _compare(
    point: _Point, by_jax: _Point, reference: Any, against: str, tolerance: float
) -> list[LeafComparison]:
    comparisons = []
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(point)[0]]
    gradients = jax.tree.leaves(by_jax)
    references = (
        reference
        if isinstance(reference, list)
        else [(np.arange(leaf.size), np.ravel(leaf)) for leaf in jax.tree.leaves(reference)]
    )
    for path, leaf, gradient, (chosen, values) in zip(
        paths, jax.tree.leaves(point), gradients, references, strict=True
    ):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or not leaf.size:
            continue
        flat = np.ravel(gradient)
        absolute = float(np.abs(flat[chosen] - values).max())
        scale = float(max(np.abs(flat).max(), np.abs(values).max()))
        relative = absolute / scale if scale else 0.0
        comparisons.append(
            LeafComparison(
                leaf=jax.tree_util.keystr(path).lstrip("."),
                against=against,
                entries=(chosen.size, leaf.size),
                absolute=absolute,
                relative=relative,
                # A gradient of zero has no scale of its own; then the probe's, which is 1, serves.
                # A NaN is in no tolerance.
                passed=relative <= tolerance or absolute <= tolerance * 1e-3,
            )
        )
    return comparisons
