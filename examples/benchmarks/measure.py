"""One contender with one model, in a process of its own: it answers questions, a line of JSON each.

python measure.py CONTENDER MODEL CORES

{"ask": "build", "work": …, "reference": file or null}   the time to the first result, and what
                                                         does not swing
{"ask": "time", "work": …, "seconds": …}                 as many runs as fit
"""

import gc
import json
import os
import resource
import statistics
import sys
import time
from typing import Any

FEWEST, MOST = 3, 1000  # runs in one measurement


def confine(cores: int) -> None:
    """Use only so many cores. Must come before any library that starts threads is imported."""
    if sys.platform == "linux":  # Elsewhere run.py lets none pass but all.
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, own[-cores:])  # The first is where the system itself is busiest.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(cores)
    # Many processes share a GPU, and each would take most of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def build(contender, model, works: dict[str, Any], work: str, reference: str | None) -> dict:
    """Make a work ready; its first run, and, given a reference, all that does not swing."""
    import numpy as np

    begun = time.perf_counter()
    works[work] = ready = contender.build(work, model)
    made = time.perf_counter()
    results = [ready.run()]
    found = {"build_s": made - begun, "first_s": time.perf_counter() - made}
    if reference is None:
        return found
    results += [ready.run(), ready.run()]
    with np.load(reference) as numbers:
        differences = ready.differences(results, numbers)
    worst = max(differences, key=differences.get)
    found |= {"difference": differences[worst], "differs_most": worst}
    if ready.program:
        from program import describe

        found |= describe(ready.program())
    return found


def measure(ready: Any, seconds: float) -> dict:
    """Run over and over, and say the median and the least time of a run."""
    times, end = [], time.perf_counter() + seconds
    gc.collect()
    gc.disable()
    while len(times) < FEWEST or (time.perf_counter() < end and len(times) < MOST):
        begun = time.perf_counter()
        ready.run()
        times.append(time.perf_counter() - begun)
    gc.enable()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "median_ms": 1e3 * statistics.median(times),
        "least_ms": 1e3 * min(times),
        "runs": len(times),
        "process_mb": megabytes,
    }


def main() -> None:
    """Answer until there are no more questions."""
    name, (cell, size, directions), cores = map(json.loads, sys.argv[1:4])
    confine(cores)
    # Answers have a channel of their own: what libraries print must not stand between them.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    from contenders import CONTENDERS
    from jobs import Model, Size, Skip

    contender, model, works = CONTENDERS[name], Model(cell, Size(*size), directions), {}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            match question.pop("ask"):
                case "equations":
                    answer = {"equations": contender.equations(model)}
                case "build":
                    answer = build(contender, model, works, **question)
                case "time":
                    answer = measure(works[question["work"]], question["seconds"])
        except Skip as reason:
            answer = {"skipped": str(reason)}
        except Exception as error:
            print(repr(error), file=sys.stderr)
            sentence = " ".join(str(error).split())[:200]
            answer = {"skipped": f"it failed with {type(error).__name__}: {sentence}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
