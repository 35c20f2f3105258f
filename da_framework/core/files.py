"""A folder held by one process at a time."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def wait_for_lock(folder: Path, doing: str) -> Iterator[None]:
    """Holds a folder for this process; another waits until it is let go of, and then finds all.

    The system lets go of it however the process ends.

    Args:
        folder: made if it is not there.
        doing: what the one that holds it does, for those that wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that %s in %s", doing, folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
