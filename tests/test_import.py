"""`import jaxrnn` is quiet, touches no device, and brings nothing heavy with it."""

import inspect
import pkgutil
import subprocess
import sys

import jaxrnn

PROBE = """
import sys
import jaxrnn
from jax._src import xla_bridge
assert not xla_bridge._backends, f"backends were initialised: {list(xla_bridge._backends)}"
heavy = {"torch", "flax", "matplotlib", "tyro", "rich", "optax", "orbax", "safetensors", "IPython"}
found = sorted(heavy & set(sys.modules))
assert not found, f"imported without need: {found}"
import jax
jax.devices()
assert xla_bridge._backends, "this check sees no backend even where there is one"
"""


def test_import_prints_nothing_and_touches_no_device():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def modules():
    yield jaxrnn
    for found in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn."):
        if not found.name.endswith("__main__"):
            yield __import__(found.name, fromlist=["_"])


def test_every_public_name_exists_and_says_what_it_is():
    for module in modules():
        assert module.__doc__, module.__name__
        names = getattr(module, "__all__", [])
        assert len(set(names)) == len(names), module.__name__
        for name in names:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
                text = inspect.getdoc(value)
                assert text and text.strip().splitlines()[0].endswith("."), (
                    f"{name} has no sentence"
                )


def test_cells_say_where_their_equations_are_from():
    for name in jaxrnn.__all__:
        value = getattr(jaxrnn, name)
        concrete = inspect.isclass(value) and issubclass(value, jaxrnn.Cell)
        if concrete and not inspect.isabstract(value):
            assert "Source:" in value.__doc__, name


def test_nothing_public_is_left_out_of_all():
    public = {name for name in vars(jaxrnn) if not name.startswith("_")}
    submodules = {name for name in public if inspect.ismodule(getattr(jaxrnn, name))}
    assert public - submodules == set(jaxrnn.__all__) - submodules
    assert {"folds", "initializers"} <= set(jaxrnn.__all__)
