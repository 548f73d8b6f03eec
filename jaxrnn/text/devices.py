"""The devices and processes that a user trains on: a configuration."""

import contextlib
import dataclasses
import re

import jax

from jaxrnn.errors import InputError
from jaxrnn.text.recipe import TrainConfig, check_shares
from jaxrnn.training import Devices, ManyDevices, OneDevice, data_mesh, meet


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where to train: on devices of this host, in processes of this host or of many."""

    devices: int | None = None
    """Devices of each process; one, or with several processes all there are, if not given."""
    processes: int = 1
    """Processes that train as one: the same command for each, but for its number."""
    process_id: int | None = None
    """Which of them this one is, from 0."""
    coordinator: str | None = None
    """HOST:PORT where they meet: the host of process 0, and any free port there."""
    cluster: bool = False
    """Take these three from the environment that SLURM, Open MPI or a TPU pod sets."""
    wait: int = 60
    """Seconds to wait for the other processes."""

    def check(self, training: TrainConfig) -> None:
        """Raise InputError if a number is missing, out of range, or divides no batch."""
        for name in ("devices", "processes", "wait"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise InputError(f"{name} is {number}; give a positive number.")
        where = (self.process_id, self.coordinator)
        if self.cluster and (self.processes, *where) != (1, None, None):
            raise InputError(
                "the cluster says how many processes there are, which one this is and where they "
                "meet: give --cluster or these, not both."
            )
        if self.devices is not None and not self.cluster:
            check_shares(training, self.devices * self.processes)
        if self.processes == 1:
            if where != (None, None) and where != (0, None):
                raise InputError("one process meets no others: say how many, by --processes.")
            return
        if self.process_id is None or not 0 <= self.process_id < self.processes:
            raise InputError(
                f"process_id is {self.process_id}; give the number of this process, from 0 to "
                f"{self.processes - 1}."
            )
        port = re.fullmatch(r".+:(\d{1,5})", self.coordinator or "")
        if port is None or not 0 < int(port[1]) < 2**16:
            raise InputError(
                f"coordinator is {self.coordinator}; give HOST:PORT, the host of process 0 and a "
                "free port there, such as localhost:1234."
            )

    def start(self, training: TrainConfig) -> Devices:
        """Wait for the other processes, and say where to train; before JAX is used.

        Raises:
          InputError: if there are not so many devices, they cannot share a batch, or the processes
            cannot meet.
          ProcessError: if the others do not come.
        """
        self.check(training)
        if self.devices is not None:
            with contextlib.suppress(RuntimeError):  # JAX is in use: there are as many as there are
                jax.config.update("jax_num_cpu_devices", self.devices)
        if self.cluster or self.processes > 1:
            number = None if self.cluster else self.processes
            meet(self.coordinator, number, self.process_id, self.wait)
        elif self.devices in (None, 1):
            return OneDevice()
        devices = ManyDevices(data_mesh(self.devices))
        check_shares(training, devices.count)
        return devices
