"""The suite is strict: float64, no silent broadcasting; and no warning is forgiven (pyproject)."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Hundreds of small programs, each run a few times: most of the time would go into making them fast.
# The examples, in processes of their own, are compiled as users compile them.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """What one file compiled, no other needs; kept, it would add up to gigabytes."""
    yield
    jax.clear_caches()
