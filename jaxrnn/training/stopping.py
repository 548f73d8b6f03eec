"""Being asked to stop: finish what is under way at the first signal, end at the second."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_signals(
    signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[Callable[[], int | None]]:
    """Within, signals are noted instead of obeyed; a second one ends the process at once.

    Python looks at signals between its own instructions, and compiling or a long step may keep it
    from there for minutes. A thread of its own watches here, so that a second Ctrl-C is obeyed
    within them.

    Args:
      signals: which ones.

    Returns:
      A context manager for a function that returns the signal that came, or None. Outside of the
      main thread, where Python takes no signals, it always returns None.

    Example:
      >>> with stop_signals() as stop:
      ...     before = stop()
      ...     signal.raise_signal(signal.SIGTERM)
      ...     while not stop(): pass
      >>> before, stop() == signal.SIGTERM
      (None, True)
    """
    received: list[int] = []

    def asked():
        return received[0] if received else None

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def watch():
        while byte := os.read(read_end, 1):
            if byte[0] in signals:
                if received:
                    os._exit(128 + byte[0])
                received.append(byte[0])
        os.close(read_end)

    threading.Thread(target=watch, daemon=True).start()
    # Handlers that do nothing, because only a signal that has one is written to the pipe.
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    pipe_before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield asked
    finally:
        signal.set_wakeup_fd(pipe_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write_end)
