"""Files that are on the disk, whole or not at all, and folders that one process holds at a time.

What is written here survives a power cut: a file has its name only once its content is on the disk,
and whoever writes it goes on only once its name is there too.
"""

import errno
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
UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""How a file system says that it cannot wait for its disk."""
DAMAGED = ".damaged"
"""What follows the name of a damaged file that was set aside."""

_named: set[tuple[Path, int]] = set()
"""Folders whose names, and those of all folders above, are known to be on the disk; by inode."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():
            return  # may be written to, and not be listed
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNABLE:
            raise _name_file(error, path) from None
    finally:
        os.close(descriptor)


def sync_names(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, and its own in the folders above."""
    sync(folder)
    unknown = []
    whole = folder.resolve()
    for below in (whole, *whole.parents):
        entry = (below, below.stat().st_ino)
        if entry in _named:
            break
        unknown.append(entry)
    for below, _ in unknown:
        sync(below.parent)
    _named.update(unknown)


def publish(partial: Path, path: Path, *, former: Path | None = None) -> None:
    """Gives a file its name once it is on the disk, and waits until the name is there too.

    Whatever is lost on the way, of two files that follow each other one is whole.

    Args:
        partial: the file under the name it was written under.
        path: its name, in the same folder or one of the same disk.
        former: a name for what had this name before; without one, that is gone.
    """
    sync(partial)
    if former is not None and path.is_file():
        os.replace(path, former)
    os.replace(partial, path)
    sync_names(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all; afterwards it is on the disk."""
    with atomic_write(path) as partial:
        # a lone surrogate, of a name that is not UTF-8, as JSON and Python write it
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def atomic_write(path: Path, *, former: Path | None = None) -> Iterator[Path]:
    """As ``synced_write``, with an error that says what to do if the disk is full.

    Raises:
        InputError: there is no room for it.
    """
    try:
        with synced_write(path, former=former) as partial:
            yield partial
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        before = "what it held before is intact" if path.is_file() else "nothing else is touched"
        raise InputError(
            f"{path}: {error.strerror}; {before}: make room, and the same command continues"
        ) from None


@contextmanager
def synced_write(path: Path, *, former: Path | None = None) -> Iterator[Path]:
    """Another name to write a file under: it has its own when all is on the disk.

    Where that fails, nothing is left of it, and what had the name before still has it.

    Args:
        path: of the file; its folder is made if it is not there.
        former: a name for what had this name before; without one, that is gone.
    """
    if path.is_dir():  # of which "." and "/" have no name to make another of
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        publish(partial, path, former=former)
    except OSError as error:
        raise _name_file(error, path) from None
    finally:
        partial.unlink(missing_ok=True)


def make_fresh_folder(path: Path) -> Path:
    """Makes a folder for files that overwrite none.

    Returns:
        Its path; where it holds something already, with the first number behind that is free.
    """
    path = path if path.name else path.resolve()
    folder, number = path, 1
    while folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        number += 1
        folder = path.with_name(f"{path.name}-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def set_aside(file: Path) -> Path:
    """Gives a damaged file another name, under which it is kept; returns it."""
    aside = file.with_name(f"{file.name}{DAMAGED}")
    os.replace(file, aside)
    sync_names(file.parent)
    return aside


def _name_file(error: OSError, path: Path) -> OSError:
    """The same error, with the name of a file if it has none."""
    if error.filename is None and error.errno is not None:
        error.filename = str(path)
    return error


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
            f"another process works in {folder}: wait for it, or give this one a folder "
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
