"""Files that are written whole or not at all, and folders that one process holds at a time."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from da_framework.core.errors import NO_ROOM, InputError

log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file by which a process holds the folder that it is in."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(text)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Another name to write a file under: it has its own when all is there, and is gone otherwise.

    Raises:
        InputError: there is no room for it.
    """
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        before = "what it held before is intact" if path.is_file() else "nothing else is touched"
        raise InputError(
            f"{path}: {error.strerror}; {before}: make room, and the same command continues"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def run_lock(folder: Path, *, key: str = "hydra.run.dir") -> Iterator[None]:
    """Holds a folder for this process; the system lets go of it however the process ends.

    Args:
        folder: to hold; made if it is not there.
        key: that would name another.

    Raises:
        InputError: another process holds it.
    """
    lock = _folder_lock(folder)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another process is training in {folder}: wait for it, or give this one a folder "
            f"of its own: {key}=..."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def wait_for_lock(folder: Path, doing: str) -> Iterator[None]:
    """Holds a folder for this process; another waits until it is let go of, and then finds all.

    Args:
        folder: to hold; made if it is not there.
        doing: what the one that holds it does, for those that wait.
    """
    lock = _folder_lock(folder)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for another process that %s in %s", doing, folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _folder_lock(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    # not of one thread: a generator may be closed by another than began it
    return FileLock(folder / LOCK, thread_local=False)
