"""Where two descriptions differ, in a sentence."""

import itertools
from typing import Any

_NOTHING = object()


def difference(saved: Any, given: Any, name: str = "") -> str | None:
    """The first place at which two JSON values differ, with what stands there in each.

    Args:
      saved: what a checkpoint holds.
      given: what it should hold.
      name: what to call the whole.

    Returns:
      A clause, or None if the two are equal.

    Example:
      >>> difference({"size": [1, 2]}, {"size": [1, 3]}, "network")
      'network.size[1] is 2 in the checkpoint, and 3 here'
    """
    if isinstance(saved, dict) and isinstance(given, dict):
        for key in given | saved:
            inside = f"{name}.{key}" if name else str(key)
            found = difference(saved.get(key, _NOTHING), given.get(key, _NOTHING), inside)
            if found:
                return found
        return None
    if isinstance(saved, list) and isinstance(given, list):
        pairs = enumerate(itertools.zip_longest(saved, given, fillvalue=_NOTHING))
        found = (difference(old, new, f"{name}[{place}]") for place, (old, new) in pairs)
        return next(filter(None, found), None)
    if type(saved) is type(given) and saved == given:
        return None
    return f"{name} is {_shown(saved)} in the checkpoint, and {_shown(given)} here"


def _shown(value):
    return "missing" if value is _NOTHING else f"{value!r:.80}"
