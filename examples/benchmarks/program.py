"""What XLA made of a function: the loops of its program, and the memory it needs meanwhile."""

import re
from collections import Counter
from typing import Any

# These name values and cost nothing.
FREE = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast", "after-all"}
_COMMENT = re.compile(r"/\*.*?\*/")  # which numbers the elements of long tuples
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = (?:\([^=]*?\)|\S+) ([\w-]+)\(")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(r"(?:calls|to_apply|body)=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_PRODUCT_CALL = re.compile(r'custom_call_target="[^"]*(?:gemm|matmul|dot)[^"]*"', re.IGNORECASE)


def describe(compiled: Any) -> dict:
    """The loops, and the peak of temporary bytes, of a `jax.stages.Compiled`."""
    memory = compiled.memory_analysis()
    return {
        "loops": loops(compiled.as_text()),
        "temporary_bytes": None if memory is None else memory.temp_size_in_bytes,
    }


def loops(text: str) -> list[dict[str, int | None]]:
    """Of every loop: how often it runs, and what stands in its body.

    A fusion is one instruction, and so is a product, alone or in a fusion; copies and
    transpositions count wherever they stand. An inner loop is listed by itself.
    """
    computations: dict[str, list[str]] = {}
    for line in _COMMENT.sub("", text).splitlines():
        if heading := _COMPUTATION.match(line):
            lines = computations[heading[1]] = []
        elif computations and _INSTRUCTION.match(line):
            lines.append(line)

    def count(name: str, inside_fusion: bool = False) -> Counter:
        found = Counter()
        for line in computations.get(name, ()):
            kind = _INSTRUCTION.match(line)[1]
            found["instructions"] += kind not in FREE and kind != "call" and not inside_fusion
            found["products"] += kind == "dot" or (
                kind == "custom-call" and bool(_PRODUCT_CALL.search(line))
            )
            found["copies"] += kind == "copy"
            found["transpositions"] += kind == "transpose"
            if kind in ("call", "fusion"):
                for called in _CALLED.findall(line):
                    found += count(called, inside_fusion or kind == "fusion")
        return found

    found = []
    for line in (line for lines in computations.values() for line in lines):
        if _INSTRUCTION.match(line)[1] != "while":
            continue
        trips = _TRIPS.search(line)
        body = count(re.search(r"body=%?([\w.-]+)", line)[1])
        names = ("instructions", "products", "copies", "transpositions")
        found.append({"trips": int(trips[1]) if trips else None} | {n: body[n] for n in names})
    return found
