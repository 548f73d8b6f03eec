"""Ctrl-C ends a command without a traceback: at once while it imports, tidily from `main` on."""

import functools
import signal
from collections.abc import Callable


def while_importing() -> None:
    """The system ends the process: nothing is to be tidied up yet.

    An exception would not do: libraries that are half imported swallow it, or abort.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until_main(main: Callable[..., None]) -> Callable[..., None]:
    """The same command; when it begins, Ctrl-C is an exception again."""

    @functools.wraps(main)
    def begin(**given):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main(**given)

    return begin
