"""Signals by which a machine is taken back: SIGTERM, and SIGUSR1 as Slurm is asked to send it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__
)
"""Those of them that this operating system has."""


@contextmanager
def handle_signals(answer: Callable[[str], None]) -> Iterator[None]:
    """Calls a function with the signal's name, in place of what was done before.

    Only the main thread is told of signals; in others, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, _: answer(signal.Signals(number).name))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
