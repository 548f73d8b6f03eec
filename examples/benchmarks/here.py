"""The machine: what it is, what is installed on it, and who else keeps it busy."""

import contextlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from contest import apart
from jobs import cores_of

PACKAGES = ("jax", "jaxlib", "flax", "equinox", "dm-haiku", "keras", "torch", "optax", "numpy")
DEVICE = "import jax; print(jax.devices()[0].device_kind)"


def cores() -> int:
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
    device = subprocess.check_output(asked, text=True, stderr=subprocess.DEVNULL, **apart())
    return {
        "cpu": model,
        "cores": cores(),
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


def describe(machine: dict[str, Any]) -> str:
    """For people."""
    accelerator = "" if machine["device"] == "cpu" else f", {machine['device']}"
    return f"{machine['cpu']}, {cores_of(machine['cores'])}{accelerator}, {machine['system']}"


class Meter:
    """How many cores others have used since it was made: nothing says more about a measurement.

    Others are all processes but this one and its children, those that have ended, and, on a rented
    machine, its other tenants.
    """

    def __init__(self):
        self.before = self.read()

    @staticmethod
    def read() -> tuple[float, float] | None:
        """Seconds on the clock, and seconds of work by others; None but on Linux."""
        if sys.platform != "linux":
            return None
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *numbers = line.split()
            if name in mine:  # user, nice, system, idle, waiting, interrupts (2), stolen
                ticks += sum(map(int, numbers[:3])) + sum(map(int, numbers[5:8]))
        used = ticks / os.sysconf("SC_CLK_TCK")
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            used -= usage.ru_utime + usage.ru_stime
        return time.monotonic(), used

    def others(self) -> float | None:
        """Cores, in the mean."""
        after = self.read()
        if self.before is None or after is None:
            return None
        wall, used = (now - then for now, then in zip(after, self.before, strict=True))
        return max(0.0, used / wall) if wall else 0.0
