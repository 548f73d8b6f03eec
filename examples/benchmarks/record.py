"""The file of results: what was measured, where, when and with what."""

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import here
import shape
from plan import Group

from jaxrnn.errors import InputError

VERSION = 1
TELLING = ("JAX_", "XLA_", "GLIBC_TUNABLES", "MALLOC_", "LD_PRELOAD")  # of the environment


def now() -> str:
    """In UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Record:
    """Sessions, and the groups that each has measured; on the disk after every group."""

    def __init__(self, path: Path, content: dict | None = None):
        self.path = path
        self.content = content or {"version": VERSION, "sessions": [], "groups": []}

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read a file; raises InputError if there is none, or another."""
        try:
            content = json.loads(path.read_text("utf-8"))
            shape.check_part(content, {"version": object}, "")
            if content["version"] == VERSION:
                shape.check(content)
        except OSError as error:
            raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"'{path}' is no file of results, or a damaged one: {error}; run.py writes one."
            ) from error
        if content["version"] != VERSION:
            raise InputError(
                f"'{path}' has version {content['version']} of the format; this is {VERSION}."
            )
        return cls(path, content)

    def begin(self, **settings: Any) -> None:
        """A session, which goes on with what the file holds; raises InputError if it must not."""
        machine = here.machine()
        for session in self.content["sessions"]:
            if session["machine"] != machine:
                raise InputError(
                    f"'{self.path}' was measured on another machine, "
                    f"{here.describe(session['machine'])}, and this is {here.describe(machine)}; "
                    "give another --output."
                )
        variables = {k: value for k, value in os.environ.items() if k.startswith(TELLING)}
        self.content["sessions"].append(
            {
                "begun": now(),
                "machine": machine,
                "versions": here.versions(),
                "environment": variables,
                "settings": settings,
            }
        )

    def add(self, group: Group, works: dict, others: float | None) -> None:
        """One group of the last session, and how many cores others used meanwhile."""
        self.content["groups"].append(
            {
                "session": len(self.content["sessions"]) - 1,
                "ended": now(),
                "others": others,
                "cell": group.model.cell,
                "size": group.model.size.name,
                "directions": group.model.directions,
                "cores": group.cores,
                "works": works,
            }
        )
        self.write()

    def write(self) -> None:
        """Beside its place first, so that an interruption leaves one file or the other."""
        trial = self.path.with_name(self.path.name + ".new")
        try:
            trial.write_text(json.dumps(self.content, indent=1) + "\n", "utf-8")
            trial.replace(self.path)
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be written: {error.strerror}.") from error

    def missing(
        self, group: Group, contenders: Sequence[str], rounds: int, seconds: float
    ) -> Group:
        """The group with those works that all contenders have not yet done together so well."""

        def has(held: dict, work: str) -> bool:
            settings = self.content["sessions"][held["session"]]["settings"]
            return (
                key(held) == key_of(group)
                and set(contenders) <= held["works"].get(work, {}).keys()
                and rounds <= settings["rounds"]
                and seconds <= settings["seconds"]
            )

        left = (
            work
            for work in group.works
            if not any(has(held, work) for held in self.content["groups"])
        )
        return group._replace(works=tuple(left))


def key(held: dict) -> tuple:
    """Of a group in the file."""
    return held["cell"], held["size"], held["directions"], held["cores"]


def key_of(group: Group) -> tuple:
    """Of a group to be measured."""
    return group.model.cell, group.model.size.name, group.model.directions, group.cores
