"""Pictures of one size: decoded into memory, or once into a file whose rows are read as needed."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from da_framework.core.errors import InputError
from da_framework.core.files import wait_for_lock
from da_framework.datasets.base import Array

CHUNK = 2**26
"""Bytes that are decoded together."""
ROWS, DONE = "rows.bin", "done.json"

T = TypeVar("T")
R = TypeVar("R")
Decode = Callable[[int], Array | str]
"""Makes a picture of its number, or says why it cannot."""


class Decoded(NamedTuple):
    """Pictures that are decoded.

    Attributes:
        x: those that can be, in their order; bytes.
        broken: why the others cannot, by number.
    """

    x: Array
    broken: dict[int, str]


def in_memory(decode: Decode, count: int, shape: Sequence[int]) -> Decoded:
    """All pictures in one array."""
    x = np.empty((count, *shape), np.uint8)  # what is not written costs nothing
    rows, broken = 0, dict[int, str]()
    for first, read in chunks(decode, 0, count, shape):
        for picture in whole(read, first, broken):
            x[rows] = picture
            rows += 1
    return Decoded(x[:rows], broken)


def on_disk(decode: Decode, count: int, shape: Sequence[int], folder: Path) -> Decoded:
    """All pictures in one file, which is mapped: a row is read when it is asked for.

    What is decoded is on the disk before it counts as done, so whatever ends a process, the next
    goes on where it was; of several at once one decodes, and the others wait for it.

    Args:
        decode: makes a picture.
        count: how many there are.
        shape: of each.
        folder: of these pictures alone.

    Raises:
        InputError: there is no room for them.
    """
    size = prod(shape)
    try:
        with wait_for_lock(folder, "decodes images"):
            done, broken = progress(folder, size)
            rows = done - len(broken)
            if (need := (count - done) * size) > (free := shutil.disk_usage(folder).free):
                raise InputError(
                    f"{folder}: {need / 2**30:.1f} GiB of decoded images are to be kept here, and "
                    f"{free / 2**30:.1f} GiB are free; dataset.cache names another folder"
                )
            with (folder / ROWS).open("ab") as file:
                file.truncate(rows * size)
                for first, read in chunks(decode, done, count, shape):
                    for picture in whole(read, first, broken):
                        file.write(picture.tobytes())
                        rows += 1
                    file.flush()
                    os.fsync(file.fileno())
                    record(folder, first + len(read), broken)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; dataset.cache names another folder, and "
            "dataset.in_memory=true needs none"
        ) from None
    if not rows:
        return Decoded(np.empty((0, *shape), np.uint8), broken)
    return Decoded(np.memmap(folder / ROWS, np.uint8, "r", shape=(rows, *shape)), broken)


def progress(folder: Path, size: int) -> tuple[int, dict[int, str]]:
    """How many pictures are done, and which of them are broken; none if the file is shorter."""
    file, rows = folder / DONE, folder / ROWS
    if file.is_file() and rows.is_file():
        found = json.loads(file.read_text())
        broken = {int(number): why for number, why in found["broken"].items()}
        if rows.stat().st_size >= (found["done"] - len(broken)) * size:
            return found["done"], broken
    return 0, {}


def record(folder: Path, done: int, broken: dict[int, str]) -> None:
    """Writes how many pictures are done, whole or not at all."""
    partial = folder / f".{DONE}"
    with partial.open("w") as file:
        json.dump({"done": done, "broken": broken}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / DONE)


def chunks(
    decode: Decode, start: int, count: int, shape: Sequence[int]
) -> Iterator[tuple[int, list[Array | str]]]:
    """Pictures from a number on, some at a time, with the number of the first."""
    many = max(1, CHUNK // prod(shape))
    for first in range(start, count, many):
        yield first, together(decode, range(first, min(first + many, count)))


def whole(read: Iterable[Array | str], first: int, broken: dict[int, str]) -> Iterator[Array]:
    """Those that could be decoded; the others are added to the broken."""
    for number, picture in enumerate(read, first):
        if isinstance(picture, str):
            broken[number] = picture
        else:
            yield picture


def together(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """A function of every value, on all cores: decoding and hashing let go of the interpreter."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))


def memory() -> int:
    """Bytes of memory that this process may have: the machine's, or those of its control group."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    root, own = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
    line = own.read_text().rpartition("::/")[2].strip() if own.is_file() else ""
    for folder in (root / line, *(root / line).parents):
        file = folder / "memory.max"
        if file.is_file() and (said := file.read_text().strip()).isdigit():
            limits.append(int(said))
    return min(limits)
