"""The suite is strict: float64, no silent broadcasting; and no warning is forgiven (pyproject)."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)
