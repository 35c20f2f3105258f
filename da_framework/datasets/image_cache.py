"""Images of one size: decoded into memory, or once into a file that is read as needed."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from da_framework.core.errors import InputError
from da_framework.core.files import wait_for_lock
from da_framework.core.room import require_disk
from da_framework.datasets.base import Array

DECODED_BYTES = 2**26
"""Bytes that are decoded together."""
IMAGES_FILE, PROGRESS_FILE = "rows.bin", "done.json"

T = TypeVar("T")
R = TypeVar("R")
Decode = Callable[[int], Array | str]
"""Decodes an image by its number, or says why it cannot."""


class DecodedImages(NamedTuple):
    """Decoded images, and what could not be decoded.

    Attributes:
        x: those that could be decoded, in their order; bytes.
        broken: why the others could not, by number.
    """

    x: Array
    broken: dict[int, str]


def decode_in_memory(decode: Decode, count: int, shape: Sequence[int]) -> DecodedImages:
    """Decodes all images into one array."""
    x = np.empty((count, *shape), np.uint8)  # what is not written costs nothing
    written, broken = 0, dict[int, str]()
    for first, decoded in decode_chunks(decode, 0, count, shape):
        for image in readable_images(decoded, first, broken):
            x[written] = image
            written += 1
    return DecodedImages(x[:written], broken)


def decode_to_disk(decode: Decode, count: int, shape: Sequence[int], folder: Path) -> DecodedImages:
    """Decodes all images into one file, which is mapped: an image is read when it is asked for.

    What is decoded is on the disk before it counts as done, so whatever ends a process, the next
    goes on where it was; of several at once one decodes, and the others wait for it.

    Args:
        decode: makes an image of its number.
        count: how many there are.
        shape: of each.
        folder: of these images alone.

    Raises:
        InputError: there is no room for them.
    """
    size = prod(shape)
    try:
        with wait_for_lock(folder, "decodes images"):
            done, broken = read_progress(folder, size)
            written = done - len(broken)
            mend = "dataset.cache names another folder"
            require_disk((count - done) * size, folder, "decoded images", mend=mend)
            with (folder / IMAGES_FILE).open("ab") as file:
                file.truncate(written * size)
                for first, decoded in decode_chunks(decode, done, count, shape):
                    for image in readable_images(decoded, first, broken):
                        file.write(image.tobytes())
                        written += 1
                    file.flush()
                    os.fsync(file.fileno())
                    write_progress(folder, first + len(decoded), broken)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; dataset.cache names another folder, and "
            "dataset.in_memory=true needs none"
        ) from None
    if not written:
        return DecodedImages(np.empty((0, *shape), np.uint8), broken)
    x = np.memmap(folder / IMAGES_FILE, np.uint8, "r", shape=(written, *shape))
    return DecodedImages(x, broken)


def read_progress(folder: Path, size: int) -> tuple[int, dict[int, str]]:
    """How many images are done, and which of them are broken; none if the file is shorter."""
    file, images = folder / PROGRESS_FILE, folder / IMAGES_FILE
    if file.is_file() and images.is_file():
        progress = json.loads(file.read_text())
        broken = {int(number): why for number, why in progress["broken"].items()}
        if images.stat().st_size >= (progress["done"] - len(broken)) * size:
            return progress["done"], broken
    return 0, {}


def write_progress(folder: Path, done: int, broken: dict[int, str]) -> None:
    """Writes how many images are done, whole or not at all, and waits until it is on the disk."""
    partial = folder / f".{PROGRESS_FILE}"
    with partial.open("w") as file:
        json.dump({"done": done, "broken": broken}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / PROGRESS_FILE)


def decode_chunks(
    decode: Decode, start: int, count: int, shape: Sequence[int]
) -> Iterator[tuple[int, list[Array | str]]]:
    """Decodes images from a number on, some at a time; gives them with the number of the first."""
    many = max(1, DECODED_BYTES // prod(shape))
    for first in range(start, count, many):
        yield first, map_threads(decode, range(first, min(first + many, count)))


def readable_images(
    decoded: Iterable[Array | str], first: int, broken: dict[int, str]
) -> Iterator[Array]:
    """Those images that could be decoded; the others are added to the broken."""
    for number, image in enumerate(decoded, first):
        if isinstance(image, str):
            broken[number] = image
        else:
            yield image


def map_threads(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """Calls a function with every value, in threads: decoding and hashing release the GIL."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))
