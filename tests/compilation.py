"""How XLA compiles for the suite: hundreds of small programs, each run a few times.

Most of the time would go into making them fast, so it does not try. `QUICK` is the same for
processes that tests begin; where the program of a user is under test, and not what it computes,
it runs without.
"""

import jax

# The older way to make loops of element-wise operations, which without optimizations takes half the
# time to compile (with them, longer). An XLA that does not know a flag ends the process, so only
# versions are given it that do.
FLAGS = "--xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": FLAGS}
