"""What a file of results looks like, as far as anything here reads it."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from jobs import CELLS, DIRECTIONS, WORKS


def number(value: Any) -> bool:
    """An amount."""
    return isinstance(value, int | float) and 0 <= value < math.inf


def positive(value: Any) -> bool:
    """A time that others are divided by."""
    return number(value) and value > 0


def number_or_none(value: Any) -> bool:
    """The same, if it could be measured."""
    return value is None or number(value)


def size(value: Any) -> bool:
    """16x50x128x2."""
    return isinstance(value, str) and bool(re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8}){3}", value))


# A type or a predicate; [each]; [each, ...] of at least one; {str: each} under any name; and
# {name: each}, where other names may stand beside, and "name?" may be missing.
SEEN = {
    "note?": str,
    "loops?": [{"instructions": int, "products": int}],
    "temporary_bytes?": number_or_none,
}
TIMED = SEEN | {"median_ms": [positive, ...], "build_s": number, "first_s": number}
SKIPPED = SEEN | {"skipped": str}
SESSION = {
    "begun": str,
    "machine": {"cpu": str, "cores": int, "device": str, "system": str},
    "versions": {str: str},
    "environment": {str: str},
    "settings": {"rounds": number, "seconds": number},
}
GROUP = {
    "session": int,
    "others": number_or_none,
    "cell": CELLS.__contains__,
    "size": size,
    "directions": list(DIRECTIONS.values()).__contains__,
    "cores": int,
    "works": {str: {str: dict}},
}


def check(content: Any) -> None:
    """Raise ValueError, which says where, unless what was read from JSON has this shape."""
    check_part(content, {"sessions": [SESSION], "groups": [GROUP]}, "")
    for place, group in enumerate(content["groups"]):
        where = f"groups/{place}"
        if not 0 <= group["session"] < len(content["sessions"]):
            raise ValueError(f"{where} is of a session that is not there")
        for work, contenders in group["works"].items():
            if work not in WORKS:
                raise ValueError(f"{where} has a work '{work}'")
            for name, entry in contenders.items():
                kind = SKIPPED if "skipped" in entry else TIMED
                check_part(entry, kind, f"{where}/works/{work}/{name}")


def check_part(value: Any, shape: Any, where: str) -> None:
    """The same of a part that stands at `where`."""
    match shape:
        case dict():
            fits = isinstance(value, dict)
        case list():
            fits = isinstance(value, list) and len(value) >= len(shape) - 1
        case type():
            fits = isinstance(value, shape)
        case _:
            fits = shape(value)
    if not fits:
        raise ValueError(f"{where or 'all of it'} is {json.dumps(value)[:40]}")
    for name, part in parts(value, shape, where):
        check_part(value[name], part, f"{where}/{name}".lstrip("/"))


def parts(value: Any, shape: Any, where: str) -> Iterator[tuple[Any, Any]]:
    """Which parts a value has, with the shape of each."""
    if isinstance(shape, list):
        yield from ((place, shape[0]) for place in range(len(value)))
    elif isinstance(shape, dict) and str in shape:
        yield from ((name, shape[str]) for name in value)
    elif isinstance(shape, dict):
        for name, part in shape.items():
            if (plain := name.removesuffix("?")) in value:
                yield plain, part
            elif plain == name:
                raise ValueError(f"{where or 'all of it'} has no '{name}'")
