"""The suite is strict: float64, no silent broadcasting; and no warning is forgiven (pyproject)."""

import os

import jax
import pytest
from compilation import FLAGS

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)

# XLA reads its flags once, when JAX first needs a device. They are not for processes that tests
# begin, which would inherit them.
before = os.environ.get("XLA_FLAGS")
os.environ["XLA_FLAGS"] = f"{FLAGS} {before or ''}"
jax.devices()
del os.environ["XLA_FLAGS"]
if before is not None:
    os.environ["XLA_FLAGS"] = before


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """What one file compiled, no other needs; kept, it would add up to gigabytes."""
    yield
    jax.clear_caches()
