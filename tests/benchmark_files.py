"""Files of results that nobody measured."""

import json
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
HERE = {"cpu": "abacus", "cores": 2, "device": "cpu", "system": "Linux x86_64"}


def times(*medians, **more):
    """What the file holds of a contender that took part."""
    seen = {"build_s": 0.1, "first_s": 0.2, "difference": 1e-7, "temporary_bytes": 4000}
    return {**seen, "loops": [], "median_ms": list(medians), **more}


def record_of(load, path, *groups):
    """A file with groups (cell, size, directions, cores, works)."""
    names = "cell", "size", "directions", "cores", "works"
    session = {"begun": "2026-01-01T00:00:00+00:00", "machine": HERE, "versions": {"jax": "1"}}
    session |= {"environment": {}, "settings": {"rounds": 2, "seconds": 0.1}}
    content = {
        "version": 1,
        "sessions": [session],
        "groups": [
            {"session": 0, "others": 0.0, **dict(zip(names, group, strict=True))}
            for group in groups
        ],
    }
    path.write_text(json.dumps(content))
    return load("record").Record.load(path)
