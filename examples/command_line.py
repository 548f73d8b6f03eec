"""A command line: one sentence per error, and an exit status that tells.

Scripts import this before all that takes long to import, and it imports those things where it uses
them: from here on Ctrl-C is one word instead of a traceback.
"""

import contextlib
import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn


class Interrupted(Exception):
    """A signal asked a command to stop."""

    def __init__(self, number: int, where: str = ""):
        """Keep the exit status, and where a training stands."""
        super().__init__("interrupted" if number == signal.SIGINT else "terminated")
        self.status, self.where = 128 + number, where


def end_at_once(status: int) -> NoReturn:
    """End the process without tidying up, but for what was printed."""
    for stream in (sys.stdout, sys.stderr):
        # It may be closed, its reader gone, or this a signal that came while it was written to.
        with contextlib.suppress(AttributeError, OSError, RuntimeError):
            stream.flush()
    os._exit(status)


def interrupt(*_) -> NoReturn:
    """End a script at once on Ctrl-C, for while there is nothing to tidy up.

    As an exception it would leave a library half imported, which complains; be lost where it meets
    JAX's callback of the garbage collector; and wait at the end for what JAX is computing.
    """
    end_at_once(complain("interrupted", status=130))


def replace_handler(old: Callable, new: Callable) -> None:
    """Change what Ctrl-C does, unless whoever began the script wants something else."""
    if signal.getsignal(signal.SIGINT) is old:
        signal.signal(signal.SIGINT, new)


def is_script() -> bool:
    """Whether a script of this folder, or of one in it, runs, rather than is imported."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return script is not None and Path(script).resolve().is_relative_to(
        Path(__file__).parent.resolve()
    )


def complain(error, status: int) -> int:
    """Print one sentence to standard error and hand the exit status on."""
    print(f"error: {error}", file=sys.stderr)
    return status


if is_script():
    replace_handler(signal.default_int_handler, interrupt)


def run(main: Callable[..., None]) -> NoReturn:
    """Run `main` with the command line as its arguments, and end with a status that tells.

    What the user can mend is one sentence and status 2; what went wrong meanwhile, status 1.
    """
    finish(lambda tyro: tyro.cli(main))


def run_tidily(main: Callable[..., None]) -> NoReturn:
    """`run` what has to tidy up: Ctrl-C is an exception again."""
    replace_handler(interrupt, signal.default_int_handler)
    run(main)


def run_one_of(functions: Sequence[Callable[..., None]], description: str) -> NoReturn:
    """`run` the function that the command line names; Ctrl-C is an exception again."""
    replace_handler(interrupt, signal.default_int_handler)
    commands = {function.__name__: function for function in functions}

    def choose(tyro):
        if sys.argv[1:] and not sys.argv[1].startswith("-") and sys.argv[1] not in commands:
            refuse_command(sys.argv[1], list(commands))
        settings = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
        tyro.extras.subcommand_cli_from_dict(commands, description=description, config=settings)

    finish(choose)


def finish(command: Callable) -> NoReturn:
    """Obey a command, and end the process."""
    import jax

    status = obey(command)
    if jax.distributed.is_initialized():
        # An error of this process among several: they cannot go on, and the regular end of this one
        # would wait for them.
        end_at_once(status)
    sys.exit(status)


def obey(command: Callable) -> int:
    """Call `command(tyro)`, and turn whatever comes of it into an exit status."""
    from jaxrnn.errors import InputError, MissingExtraError, NonFiniteError, ProcessError

    # Closed streams (`>&-`) are None. Without an output the work is still done; without an error
    # stream, `print` would put the complaints among the output.
    sys.stdout = sys.stdout or open_nowhere()
    sys.stderr = sys.stderr or open_nowhere()
    # A terminal that cannot show a character shows a question mark instead of an error.
    sys.stdout.reconfigure(errors="replace")
    try:
        import tyro
    except ImportError:
        return complain(MissingExtraError("tyro", extra="examples"), status=1)
    try:
        command(tyro)
    except (InputError, MissingExtraError) as error:
        return complain(error, status=2)
    except BrokenPipeError:
        # Whoever read the output has enough. What is still buffered must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NonFiniteError, OSError, ProcessError) as error:
        return complain(error, status=1)
    except KeyboardInterrupt:
        # A regular end would crash where it takes down modules of jaxlib: the traceback of an
        # exception in the midst of a computation still refers to them.
        interrupt()
    except Interrupted as interrupted:
        return complain(interrupted, interrupted.status)
    return 0


def open_nowhere():
    """A stream that forgets what is written to it."""
    # Open until the process ends, like the stream that it stands for.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    return open(nowhere, "w", encoding="utf-8", closefd=False)


def refuse_command(given: str, commands: list[str]) -> NoReturn:
    """One sentence about a command that there is not, with the one that was probably meant."""
    from jaxrnn.errors import InputError

    close = difflib.get_close_matches(given, commands, n=1)
    if close:
        raise InputError(f"there is no command '{given}'; did you mean '{close[0]}'?")
    raise InputError(f"there is no command '{given}'; give one of {', '.join(commands)}.")
