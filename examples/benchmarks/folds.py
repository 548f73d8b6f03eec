"""What the derivative by hand is worth: forward and backward through `scan` and through `bptt`.

    python examples/benchmarks/folds.py
    python examples/benchmarks/folds.py --cores 1

Every measurement is a process of its own, and the folds alternate; medians over processes of the
median over calls, and the ratio of both. Also counted, since counts do not swing: matrix products
in the backward loop, and XLA's peak of temporary memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CELLS = ("LSTM", "GRU", "Elman")
# Batch, time, width.
SIZES = ((1, 70, 35), (16, 50, 128), (50, 50, 128), (64, 64, 256), (8, 1000, 128))
FOLDS = ("scan", "bptt")


def products_in_backward_loop(jaxpr) -> int:
    """How many matrix products stand in the loops that run backwards."""
    import jax

    count = 0
    for equation in jaxpr.eqns:
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda value: hasattr(value, "jaxpr")
        ):
            if not hasattr(inner, "jaxpr"):
                continue
            if equation.primitive.name == "scan" and equation.params["reverse"]:
                names = [body.primitive.name for body in inner.jaxpr.eqns]
                count += names.count("dot_general")
            else:
                count += products_in_backward_loop(inner.jaxpr)
    return count


def measure(fold: str, cell: str, size: tuple[int, int, int], calls: int) -> None:
    """In a process of its own: print milliseconds, products in the loop, temporary bytes."""
    import jax
    import jax.numpy as jnp

    import jaxrnn

    batch, length, width = size
    layer = getattr(jaxrnn, cell)(width, width)
    params = layer.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (length, batch, width))

    @jax.jit
    def gradient(params, xs):
        def loss(params, xs):
            return jnp.square(
                jaxrnn.unroll(layer, params, xs, fold=getattr(jaxrnn.folds, fold))[1]
            ).sum()

        return jax.grad(loss, argnums=(0, 1))(params, xs)

    compiled = gradient.lower(params, xs).compile()
    jax.block_until_ready(compiled(params, xs))
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        jax.block_until_ready(compiled(params, xs))
        seconds.append(time.perf_counter() - begun)
    products = products_in_backward_loop(jax.make_jaxpr(gradient)(params, xs).jaxpr)
    memory = compiled.memory_analysis().temp_size_in_bytes
    print(json.dumps([1e3 * statistics.median(seconds), products, memory]))


def in_a_process(*arguments: object) -> tuple[float, int, int]:
    """Run `measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def main() -> None:
    """Measure every cell and size, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="processes per fold")
    parser.add_argument("--calls", type=int, default=15, help="timed calls per process")
    parser.add_argument("--cores", type=int, help="use only so many cores (Linux)")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(*given.measure)
        return
    if given.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    cores = len(os.sched_getaffinity(0))
    print(f"forward and backward, float32, {cores} core(s); {given.rounds} processes per fold\n")
    print("| cell | batch, time, width | scan ms | bptt ms | ratio | products | temporary MB |")
    print("|---|---|---|---|---|---|---|")
    for cell in CELLS:
        for size in SIZES:
            runs = {fold: [] for fold in FOLDS}
            for _ in range(given.rounds):
                for fold in FOLDS:
                    runs[fold].append(in_a_process(fold, cell, size, given.calls))
            scan, bptt = (statistics.median(ms for ms, *_ in runs[fold]) for fold in FOLDS)
            products, memory = (
                " → ".join(f"{runs[fold][0][n] / scale:.3g}" for fold in FOLDS)
                for n, scale in ((1, 1), (2, 1e6))
            )
            print(
                f"| {cell} | {', '.join(map(str, size))} | {scan:.2f} | {bptt:.2f} "
                f"| {scan / bptt:.2f} | {products} | {memory} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
