"""Arrays kept on disk between runs: written whole or not at all, and damage is seen."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da_framework.core.files import synced_write, wait_for_lock
from da_framework.core.room import require_disk

log = logging.getLogger(__name__)

LENGTH = hashlib.sha256().digest_size
PART = 2**24
"""Bytes that are read at once."""

Array = NDArray[Any]


def load_or_compute(folder: Path | None, name: str, rows: int, make: Callable[[], Array]) -> Array:
    """An array that is made once and found afterwards.

    Args:
        folder: where it is kept; ``None``: nowhere.
        name: that everything it is made of decides.
        rows: that it has.
        make: makes it.

    Raises:
        InputError: there is no room for it.
    """
    if folder is None:
        return make()
    array = None
    try:
        with wait_for_lock(folder, "works"):
            file = folder / f"{name}.npy"
            array = read_array(file, rows)
            if array is None:
                array = make()
                mend = "dataset.cache names another folder; null keeps nothing"
                require_disk(array.nbytes, folder, "arrays", mend=mend)
                write_array(file, array)
    except OSError as error:
        log.warning("nothing is kept in %s: %s", folder, error)
    return make() if array is None else array


def read_array(file: Path, rows: int) -> Array | None:
    """The array in a file; none if it is missing, damaged or of other rows."""
    if not file.is_file():
        return None
    size = max(0, file.stat().st_size - LENGTH)
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while part := stream.read(min(PART, size - stream.tell())):
            digest.update(part)
        if digest.digest() != stream.read():
            log.warning("%s is damaged: it is made anew", file)
            return None
    array = np.array(np.load(file, mmap_mode="r", allow_pickle=False))
    return array if len(array) == rows else None


def write_array(file: Path, array: Array) -> None:
    """Writes a file, whole or not at all; its hash stands at its end."""
    with synced_write(file) as partial, partial.open("w+b") as stream:
        np.save(stream, array, allow_pickle=False)
        stream.seek(0)
        stream.write(hashlib.file_digest(stream, "sha256").digest())
