"""Where a text that is being written ends before its length is reached."""

import dataclasses
from collections.abc import Sequence

from jaxrnn.errors import InputError


@dataclasses.dataclass(frozen=True)
class Stop:
    """A string that ends a text; made by `stop_before` and `stop_after`."""

    string: str
    kept: bool  # whether the text ends with the string or right before it

    def __post_init__(self):
        if not self.string:
            raise InputError("a stop string is empty, and would end every text at its beginning.")


def stop_before(string: str) -> Stop:
    r"""End the text right before a string, which is not shown.

    Example:
      >>> StopScanner([stop_before("\n\n")])("ROMEO:\nO!\n\nJULIET:")
      'ROMEO:\nO!'
    """
    return Stop(string, kept=False)


def stop_after(string: str) -> Stop:
    """End the text with a string.

    Example:
      >>> StopScanner([stop_after(".")])("It ends. It goes on.")
      'It ends.'
    """
    return Stop(string, kept=True)


class StopScanner:
    """One stream of text, cut where a stop string is completed first.

    Of strings completed by the same character the longest counts. What may still become a stop
    string is held back until it is decided, however the text is cut into pieces. Strings are sought
    in what is written, not in the prompt.

    Args:
      stops: the strings to look for; none lets the text through as it is.

    Example:
      >>> scanner = StopScanner([stop_before("END")])
      >>> scanner("one E"), scanner("N two EN"), scanner("D three"), scanner.ended
      ('one ', 'EN two ', '', True)
    """

    def __init__(self, stops: Sequence[Stop]):
        """Begin a stream."""
        self.ended = False
        self._stops = stops
        self._held_back = ""

    def __call__(self, piece: str, final: bool = False) -> str:
        """What of the text up to the end of `piece` may be shown; all of it if `final`."""
        if self.ended:
            return ""
        text = self._held_back + piece
        found = [(text.find(stop.string), stop) for stop in self._stops]
        ends = [(at + len(stop.string), at, stop) for at, stop in found if at >= 0]
        if ends:
            end, beginning, stop = min(ends, key=lambda found: found[:2])
            self.ended, self._held_back = True, ""
            return text[: end if stop.kept else beginning]
        undecided = 0 if final else self._undecided(text)
        shown = len(text) - undecided
        self._held_back = text[shown:]
        return text[:shown]

    def _undecided(self, text):
        """How long the longest end of the text is that a stop string begins with."""
        longest = max((len(stop.string) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.string.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
