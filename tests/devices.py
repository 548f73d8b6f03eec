"""Programs on several devices, which have to be asked for before JAX starts: in a process."""

import os
import subprocess
import sys

from compilation import FLAGS, QUICK


def run_on_devices(program: str, count: int) -> None:
    """Run a program, which prints "ok", where the processor is `count` devices; no warnings."""
    flags = f"{FLAGS} --xla_force_host_platform_device_count={count}"
    environment = os.environ | QUICK | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-3000:]
