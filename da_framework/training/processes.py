"""Processes that train together: where one of them is lost, all end, and one says so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import torch

from da_framework.core.errors import PREEMPTED, PreemptedError

GRACE = 5.0
"""Seconds in which a process is to notice by itself that another is lost."""
EVERY = 0.1
"""Seconds between two looks at the others."""
ENDED = "training ended; the same command continues from the last checkpoint, if any"


@contextmanager
def end_together(trainer: Any) -> Iterator[None]:
    """Ends this process soon after one of those that train with it, while they train.

    In a process that waits for a lost one, Python may not get to run: after some seconds the end is
    as of a kill, from which the same command continues.

    Args:
        trainer: Lightning's, which starts the other processes.

    Raises:
        PreemptedError: another process is lost.
    """
    if trainer.world_size == 1:
        yield
        return
    others = Others(trainer.strategy.launcher)
    try:
        yield
    except BaseException as error:
        lost = others.wait_for_lost() if is_lost_connection(error) else ""
        others.done.set()
        others.end()
        if lost:
            raise PreemptedError(f"{lost}: {ENDED}") from None
        raise
    finally:
        others.done.set()


class Others:
    """The processes that train with this one, as far as it knows them.

    The first has started those of its machine, the others know the first.

    Args:
        launcher: Lightning's; its own watch, which kills all without a word, is taken over.
    """

    def __init__(self, launcher: Any) -> None:
        self.launcher = launcher
        self.children: list[subprocess.Popen[Any]] = []
        self.parent = os.getppid()
        self.done = Event()
        Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Ends this process where it has not done so itself."""
        while not self.done.wait(EVERY):
            if (lost := self.lost()) and not self.done.wait(GRACE):
                say(f"{lost}: {ENDED}")
                for child in self.children:
                    child.kill()
                os._exit(PREEMPTED)

    def lost(self) -> str:
        """Which process has failed; nothing if none has."""
        if started := getattr(self.launcher, "procs", None):
            self.children += started
            started.clear()  # of an empty list, Lightning's watch makes nothing
        for number, child in enumerate(self.children, 1):
            if code := child.poll():
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                return f"process {number} of {len(self.children) + 1} was lost ({how})"
        is_child = int(os.environ.get("LOCAL_RANK", "0")) > 0
        return "the first process was lost" if is_child and os.getppid() != self.parent else ""

    def wait_for_lost(self) -> str:
        """Which process a connection was lost to."""
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if lost := self.lost():
                return lost
            time.sleep(EVERY)
        return "another process was lost"

    def end(self) -> None:
        """Waits for the processes that this one has started; those that wait for it are ended."""
        for child in self.children:
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error is of a process that does not answer: Gloo's has no type of its own."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and "gloo" in str(error).lower()


def say(line: str) -> None:
    """Prints a line for a person, once for all processes."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)
