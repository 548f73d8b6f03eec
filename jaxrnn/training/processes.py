"""Several processes that train as one: how they meet, agree and part.

Each holds some of the devices, and all run the same program. A step in which their devices add
something up ends in all of them or in none, so they must never disagree about what comes next.
"""

import collections
import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn.errors import InputError, ProcessError
from jaxrnn.training.devices import data_mesh

HEARTBEAT_SECONDS = 30  # without a sign of life after which a process counts as dead
LAG = 2  # calls between a question and its answer, so that devices need not wait for one another


def meet(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    wait: float = 60,
) -> None:
    """Wait for the other processes, before JAX is used for anything else.

    Args:
      coordinator: HOST:PORT at which process 0 listens; None to take it, and the numbers, from the
        environment that a cluster sets (SLURM, Open MPI, Kubernetes, TPU).
      processes: how many there are.
      process: which one this is, from 0.
      wait: for how many seconds.

    Raises:
      InputError: if process 0 cannot listen there, or there is no cluster's environment.
      ProcessError: if the others do not come. JAX goes on waiting for them, even at the regular end
        of this process: end it by `os._exit`.
    """
    # What is asked of one process is to be known to all (`Agreement`); JAX would only take note.
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator is not None and process == 0:
        _check_free(int(coordinator.rsplit(":", 1)[1]))
    failed: list[Exception] = []

    def initialize():
        try:
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                cluster_detection_method="deactivate" if coordinator else None,
                # Not the one to end it: JAX ends the process then, and prints its stack.
                initialization_timeout=int(wait) + 3600,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except Exception as error:  # of any kind, as environments are read
            failed.append(error)

    meeting = threading.Thread(target=initialize, daemon=True)
    meeting.start()
    meeting.join(wait)
    if meeting.is_alive():
        where = f" at {coordinator}" if coordinator else ""
        raise ProcessError(
            f"waited {wait:g} s{where} for all processes, but they did not come: start the same "
            "command for each, with the same coordinator, or wait longer."
        )
    if failed:
        reason = next(iter(str(failed[0]).splitlines()), type(failed[0]).__name__)
        if coordinator is None:
            raise InputError(
                f"no cluster is known from the environment ({reason:.200}): say instead how many "
                "processes there are, which one this is, and where they meet."
            )
        raise InputError(f"processes cannot meet at {coordinator} ({reason:.200}).")


def _check_free(port):
    try:
        with socket.create_server(("", port)):
            pass
    except OSError as error:
        raise InputError(
            f"process 0 cannot listen at port {port} ({error.strerror}): give another port."
        ) from error


def part() -> None:
    """Leave the other processes when nothing more is to be done together, as soon as all do.

    What they put on devices of their own may be used on.
    """
    jax.distributed.shutdown()


@contextlib.contextmanager
def losses_reported() -> Iterator[None]:
    """Turn what JAX raises when another process has ended into one sentence.

    Raises:
      ProcessError: in place of it.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        known = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if jax.process_count() == 1 or not known:
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ProcessError(
            f"process {jax.process_index()} cannot go on with the others ({reason:.200}): one of "
            "them has probably ended. Start all of them again."
        ) from error


class Agreement:
    """A question that any process may answer, and whose answer all get at the same call.

    Every process has to call it equally often. The answer comes two calls later.
    """

    def __init__(self, ask: Callable[[], int | None]):
        """Nothing is asked yet.

        Args:
          ask: of this process; a positive number, or None.
        """
        self.answer: int | None = None  # the largest that any process gave
        self._ask = ask
        self._asked: collections.deque[jax.Array] = collections.deque()
        mesh = data_mesh()
        self._rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._largest = jax.jit(lambda numbers: numbers.max(), out_shardings=everywhere)

    def __call__(self) -> int | None:
        """Ask this process, and return what any answered two calls ago."""
        own = np.array([self._ask() or 0], np.int32)
        size = (self._rows.mesh.size,)
        all_answers = jax.make_array_from_callback(size, self._rows, lambda _: own)
        self._asked.append(self._largest(all_answers))
        if len(self._asked) > LAG:
            self.answer = int(self._asked.popleft()) or None
        return self.answer


def told_by_first(raw: bytes | None) -> bytes:
    """What process 0 has to say, on every process.

    Args:
      raw: it; what others have to say is not heard.
    """
    own = np.frombuffer(raw if jax.process_index() == 0 else b"", np.uint8)
    (size,) = multihost_utils.broadcast_one_to_all(np.array([own.size]))
    said = np.zeros(int(size), np.uint8)
    said[: own.size] = own
    return np.asarray(multihost_utils.broadcast_one_to_all(said)).astype(np.uint8).tobytes()


def check_alike(raw: bytes) -> None:
    """Raise on every process unless all were given the same.

    Args:
      raw: what they were given.

    Raises:
      InputError: naming a process that was given something else than process 0.
    """
    digest = np.frombuffer(hashlib.sha256(raw).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    (others,) = (digests != digests[0]).any(axis=-1).nonzero()
    if others.size:
        raise InputError(
            f"process {others[0]} was given another text, model or training than process 0: give "
            "all of them the same."
        )
