"""The file of results: what was measured, where, when and with what."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from contest import environment
from plan import Group

from jaxrnn.errors import InputError

VERSION = 1
PACKAGES = ("jax", "jaxlib", "flax", "equinox", "dm-haiku", "keras", "torch", "optax", "numpy")
DEVICE = "import jax; print(jax.devices()[0].device_kind)"


def cores_here() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Where all this happens."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    asked = [sys.executable, "-c", DEVICE]
    device = subprocess.check_output(asked, env=environment(), text=True, stderr=subprocess.DEVNULL)
    return {
        "cpu": model,
        "cores": cores_here(),
        "device": device.strip(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of everything that takes part."""
    found = {"python": platform.python_version(), "jaxrnn": jaxrnn_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def jaxrnn_version() -> str:
    """The commit too, where there is one: `0.1.0 (1a2b3c4, changed)`."""
    version = "not installed"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("jaxrnn")
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.check_output(
            ["git", "-C", str(root), *arguments], text=True, stderr=subprocess.DEVNULL
        ).strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        commit = git("rev-parse", "--short", "HEAD")
        changed = ", changed" if git("status", "--porcelain", "jaxrnn") else ""
        version += f" ({commit}{changed})"
    return version


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
        except OSError as error:
            raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise InputError(f"'{path}' is no file of results: {error}.") from error
        if not isinstance(content, dict) or content.keys() != {"version", "sessions", "groups"}:
            raise InputError(f"'{path}' is no file of results; run.py writes one.")
        if content["version"] != VERSION:
            raise InputError(
                f"'{path}' has version {content['version']} of the format; this is {VERSION}."
            )
        return cls(path, content)

    def begin(self, **settings: Any) -> None:
        """A session, which goes on with what the file holds; raises InputError if it must not."""
        here = machine()
        for session in self.content["sessions"]:
            if session["machine"] != here:
                raise InputError(
                    f"'{self.path}' was measured on another machine, {describe(session)}, and this "
                    f"is {describe({'machine': here})}; give another --output."
                )
        variables = {
            name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))
        }
        self.content["sessions"].append(
            {
                "begun": now(),
                "machine": here,
                "versions": versions(),
                "environment": variables,
                "settings": settings,
            }
        )

    def add(self, group: Group, works: dict, load: float) -> None:
        """One group of the last session."""
        self.content["groups"].append(
            {
                "session": len(self.content["sessions"]) - 1,
                "ended": now(),
                "load": load,
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

    def entries(self, group: Group, work: str) -> Iterator[tuple[dict, dict[str, dict]]]:
        """What is known of a work: (group, what its contenders did), the newest first."""
        for held in reversed(self.content["groups"]):
            if key(held) == key_of(group) and work in held["works"]:
                yield held, held["works"][work]

    def missing(self, group: Group, contenders: Sequence[str]) -> Group:
        """The group with those works that have not been measured with all contenders together."""
        wanted = set(contenders)
        return group._replace(
            works=tuple(
                work
                for work in group.works
                if not any(wanted <= seen.keys() for _, seen in self.entries(group, work))
            )
        )


def key(held: dict) -> tuple:
    """Of a group in the file."""
    return held["cell"], held["size"], held["directions"], held["cores"]


def key_of(group: Group) -> tuple:
    """Of a group to be measured."""
    return group.model.cell, group.model.size.name, group.model.directions, group.cores


def describe(session: dict) -> str:
    """The machine, for people."""
    cpu, cores, device, system = session["machine"].values()
    accelerator = "" if device == "cpu" else f", {device}"
    return f"{cpu}, {cores} cores{accelerator}, {system}"
