"""Signals by which a command is asked to end: once in good order, and by Ctrl-C twice at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGUSR1")
    if name in signal.Signals.__members__
)
"""Those that this operating system has: Ctrl-C, a terminal that is closed, a machine that is taken
back, and SIGUSR1 as Slurm is asked to send it.
"""


class Handler:
    """Calls a function with the signal's name, the first time that one comes.

    Later ones ask for nothing new; but Ctrl-C then ends the process at once, by the system and
    without Python, which may be deep in a call.

    Args:
        answer: the function.
        outer: the handler in whose place this one stands: it has nothing left to answer.
    """

    def __init__(self, answer: Callable[[str], None], outer: Any) -> None:
        self.answer = answer
        self.outer = outer if isinstance(outer, Handler) else None
        self.answered: bool = self.outer is not None and self.outer.answered

    def __call__(self, number: int, frame: FrameType | None) -> None:
        first, handler = not self.answered, self
        while handler:
            handler.answered, handler = True, handler.outer  # type: ignore[assignment]
        if not ignored(signal.SIGINT):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if first:
            self.answer(signal.Signals(number).name)
        elif number == signal.SIGINT:
            os.kill(os.getpid(), number)


def ignored(number: signal.Signals) -> bool:
    """Whether nothing is done on a signal, as ``nohup`` asks for SIGHUP."""
    return signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def handle_signals(answer: Callable[[str], None]) -> Iterator[None]:
    """Calls a function with the name of the first signal, in place of what was done before.

    A signal that was ignored stays so. Where these handlers stand within others, a signal is
    answered once for all of them. Only the main thread is told of signals; in others, nothing
    changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS if not ignored(number)}
    handler = Handler(answer, before.get(signal.SIGINT) or before.get(signal.SIGTERM))
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
