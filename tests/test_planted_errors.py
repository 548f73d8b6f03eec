"""The tests on trial: an error planted in any derivative by hand is found by the fold contract."""

import dataclasses
import inspect
import sys
import textwrap
import types

import pytest
from comparison import assert_same_values_and_gradients, random_point
from tables import label

import jaxrnn
from jaxrnn.folds import bptt

# Cell, method, what stands there, what is planted in its place.
PLANTED = [
    # The notebook's naive gradient: `dhnext` is dropped.
    (jaxrnn.Elman, "backward", "d_carry.h + d_y", "d_y"),
    (jaxrnn.Elman, "backward", "d_carry.h + d_y", "d_carry.h"),
    (jaxrnn.Elman, "backward", "residual.slope", "1 + 0 * residual.slope"),
    (jaxrnn.Elman, "backward", "recurrent_kernel.T", "recurrent_kernel"),
    (
        jaxrnn.Elman,
        "gradients",
        "contract(residuals.h, d_drives, params.recurrent_kernel)",
        "contract(d_drives, residuals.h, params.recurrent_kernel)",
    ),
    (jaxrnn.Elman, "gradients", "sum_leading(d_drives)", "d_drives[-1].sum(0)"),
    (jaxrnn.Elman, "forward", "h=carry.h", "h=h"),
    (jaxrnn.LSTM, "lstm_residual", "f * (1 - f)", "f"),
    (jaxrnn.LSTM, "lstm_residual", "(1 - tanh_c * tanh_c)", "(1 - tanh_c)"),
    (jaxrnn.LSTM, "lstm_residual", "(1 - g * g)", "g * (1 - g)"),
    (jaxrnn.LSTM, "lstm_residual", "carry.c * f", "g * f"),
    (jaxrnn.LSTM, "lstm_residual", "carry.h, to_gates", "carry.c, to_gates"),
    (jaxrnn.LSTM, "lstm_backward", "d_c * residual.c_to_c", "d_c"),
    (jaxrnn.LSTM, "lstm_backward", "d_c = d_c + d_m", "d_c = d_m"),
    (jaxrnn.LSTM, "lstm_backward", "d_m * to.o", "d_c * to.o"),
    (jaxrnn.LSTM, "backward", "d_carry.h + d_y", "d_y"),
    (jaxrnn.LSTM, "backward", "recurrent_kernel.T", "recurrent_kernel[:, ::-1].T"),
    (jaxrnn.ProjectedLSTM, "backward", "d_m = affine(d_h", "d_m = affine(d_y"),
    (jaxrnn.ProjectedLSTM, "backward", "(d_gates, d_h)", "(d_gates, d_y)"),
    (jaxrnn.GRU, "backward", "d_h * residual.z + ", ""),
    (jaxrnn.GRU, "forward", "(carry.h - n)", "(n - carry.h)"),
    (jaxrnn.GRU, "forward", "q * r * (1 - r)", "carry.h * r * (1 - r)"),
    (jaxrnn.GRU, "backward", "d_n * residual.r]", "d_n]"),
    (jaxrnn.GRU, "forward", " * (1 - n * n)", ""),
    (jaxrnn.GRU, "gradients", "d_q = d_n * residuals.r", "d_q = d_n"),
    (jaxrnn.ResetBeforeGRU, "backward", " + d_s * residual.r", ""),
    (jaxrnn.ResetBeforeGRU, "forward", "carry.h * r * (1 - r)", "r * (1 - r)"),
    (jaxrnn.ResetBeforeGRU, "backward", "kernel_n.T", "kernel_n"),
    (jaxrnn.ResetBeforeGRU, "gradients", "residuals.r * residuals.h", "residuals.h"),
]


# Square cells, so that a matrix that is not transposed fits, and is found by its numbers.
RIGHT = {
    jaxrnn.Elman: jaxrnn.Elman(4, 4),
    jaxrnn.LSTM: jaxrnn.LSTM(4, 4),
    jaxrnn.ProjectedLSTM: jaxrnn.ProjectedLSTM(4, 4, 2),
    jaxrnn.GRU: jaxrnn.GRU(4, 4),
    jaxrnn.ResetBeforeGRU: jaxrnn.ResetBeforeGRU(4, 4),
}


def remade(cell_type, cell):
    """A cell of another type with the fields of `cell`."""
    return cell_type(**{f.name: getattr(cell, f.name) for f in dataclasses.fields(cell)})


def mutant(cell_type, name, old, new):
    """A subclass of a cell in whose method `name` the text `old` is replaced by `new`.

    If `name` is a function of the cell's module instead, all its methods see the changed function.
    """
    module = sys.modules[cell_type.__module__]
    is_method = name in vars(cell_type)
    original = inspect.getattr_static(cell_type if is_method else module, name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(old) == 1, f"{old!r} does not stand once in {name} any more"
    namespace = dict(vars(module))
    exec(source.replace(old, new), namespace)
    methods = {name: namespace[name]}
    if not is_method:
        methods = {
            method: types.FunctionType(function.__code__, namespace, method)
            for method, function in vars(cell_type).items()
            if method in ("forward", "backward", "gradients")
        }
    return type(f"Wrong{cell_type.__name__}", (cell_type,), methods)


@pytest.mark.parametrize(
    "planted", PLANTED, ids=lambda p: f"{p[0].__name__}.{p[1]}: {p[2]} becomes {p[3] or 'nothing'}"
)
def test_a_planted_error_is_found(planted):
    right = RIGHT[planted[0]]
    wrong = remade(mutant(*planted), right)
    with pytest.raises(AssertionError, match="differs by"):
        assert_same_values_and_gradients(
            wrong, random_point(right, seed=1), bptt, reference_layer=right
        )


@pytest.mark.parametrize("right", RIGHT.values(), ids=label)
def test_the_mutation_itself_changes_nothing(right):
    """A subclass made in the same way, with the text replaced by itself, passes."""
    twin = remade(mutant(type(right), "backward", "def backward", "def backward"), right)
    assert_same_values_and_gradients(twin, random_point(right, seed=1), bptt, reference_layer=right)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tangent_body, t_carry,", "tangent_body, jax.tree.map(jax.numpy.zeros_like, t_carry),"),
        ("(residuals, t_drives)", "(residuals, t_drives), reverse=True"),
        ("((t_carry, t_drive))", "((t_carry, 2 * t_drive))"),
        ("None if d is None else tangent +", "None if d is None else"),
    ],
)
def test_a_planted_error_in_the_fold_is_found(old, new):
    cell = jaxrnn.LSTM(4, 4)
    with pytest.raises(AssertionError, match="differs by"):
        assert_same_values_and_gradients(
            cell, random_point(cell, seed=1), mutated_fold("bptt", old, new)
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ self.every - self.steps", "+ self.every - self.steps + 1"),
        ("select(begin <= 0, carry,", "select(begin < 0, carry,"),
        ("select(inside, new_carry, carry)", "new_carry"),
        ("lax.stop_gradient(carry)", "carry"),
    ],
)
def test_a_planted_error_in_truncated_is_found(old, new):
    cell = jaxrnn.GRU(4, 4)
    point = random_point(cell, seed=1, time=7)
    fold = mutated_fold("truncated", old, new)(4, 2)
    with pytest.raises(AssertionError, match="differs by"):
        # The reference is compared with its definition in test_fold_contract.py.
        assert_same_values_and_gradients(cell, point, fold, reference=jaxrnn.folds.truncated(4, 2))


def mutated_fold(name, old, new):
    """A fold from the source of its module, in which the text `old` is replaced by `new`."""
    module = sys.modules[f"jaxrnn.folds.{name}"]
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{old!r} does not stand once in {name} any more"
    copy = types.ModuleType(module.__name__)
    exec(source.replace(old, new), vars(copy))
    return getattr(copy, name)


def test_a_planted_error_is_found_by_check_gradients():
    cell = mutant(jaxrnn.Elman, "backward", "d_carry.h + d_y", "d_y")(2, 3)
    point = random_point(cell, seed=2, time=4)
    report = jaxrnn.check_gradients(cell, point.params, point.xs, point.carry, entries=10)
    assert not report.passed
    assert {failure.against for failure in report.failures} == {"bptt by hand"}
    assert "params.recurrent_kernel" in {failure.leaf for failure in report.failures}
