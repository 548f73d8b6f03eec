"""A command line of several commands: one sentence per error, and an exit status that tells."""

import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence

import jax

from jaxrnn.errors import InputError, MissingExtraError, NonFiniteError, ProcessError

try:
    import tyro
except ImportError:
    sys.exit(str(MissingExtraError("tyro", extra="examples")))


class Interrupted(Exception):
    """A signal asked a command to stop."""

    def __init__(self, number: int, where: str = ""):
        """Keep the exit status, and where a training stands."""
        super().__init__("interrupted" if number == signal.SIGINT else "terminated")
        self.status, self.where = 128 + number, where


def run(functions: Sequence[Callable[..., None]], description: str) -> int:
    """Run the command that the command line names, and return the exit status.

    What the user can mend is one sentence and status 2; what went wrong meanwhile, status 1.
    """
    status = obey(functions, description)
    if jax.distributed.is_initialized():
        # An error of this process among several: they cannot go on, and the regular end of this one
        # would wait for them.
        sys.stdout.flush()
        os._exit(status)
    return status


def obey(functions: Sequence[Callable[..., None]], description: str) -> int:
    """Run the command, and turn whatever comes of it into an exit status."""
    # Closed streams (`>&-`) are None. Without an output the work is still done; without an error
    # stream, `print` would put the complaints among the output.
    sys.stdout = sys.stdout or open_nowhere()
    sys.stderr = sys.stderr or open_nowhere()
    # A terminal that cannot show a character shows a question mark instead of an error.
    sys.stdout.reconfigure(errors="replace")
    commands = {function.__name__: function for function in functions}
    if sys.argv[1:] and not sys.argv[1].startswith("-") and sys.argv[1] not in commands:
        return complain(unknown_command(sys.argv[1], list(commands)), status=2)
    settings = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    try:
        tyro.extras.subcommand_cli_from_dict(commands, description=description, config=settings)
    except (InputError, MissingExtraError) as error:
        return complain(error, status=2)
    except BrokenPipeError:
        # Whoever read the output has enough. What is still buffered must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NonFiniteError, OSError, ProcessError) as error:
        return complain(error, status=1)
    except KeyboardInterrupt:
        return complain("interrupted", status=130)
    except Interrupted as interrupted:
        return complain(interrupted, interrupted.status)
    return 0


def open_nowhere():
    """A stream that forgets what is written to it."""
    # Open until the process ends, like the stream that it stands for.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    return open(nowhere, "w", encoding="utf-8", closefd=False)


def unknown_command(given: str, commands: list[str]) -> str:
    """One sentence about a command that there is not, with the one that was probably meant."""
    close = difflib.get_close_matches(given, commands, n=1)
    if close:
        return f"there is no command '{given}'; did you mean '{close[0]}'?"
    return f"there is no command '{given}'; give one of {', '.join(commands)}."


def complain(error, status: int) -> int:
    """Print one sentence to standard error and hand the exit status on."""
    print(f"error: {error}", file=sys.stderr)
    return status
