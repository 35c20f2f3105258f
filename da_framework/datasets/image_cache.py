"""Images of one size: decoded into memory, or once into a file that is read as needed."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from da_framework.core.errors import InputError
from da_framework.core.files import synced_write, wait_for_lock
from da_framework.core.room import require_disk
from da_framework.datasets.base import Array

log = logging.getLogger(__name__)

DECODED_BYTES = 2**26
"""Bytes that are decoded together: a block, which has a checksum."""
READ_BYTES = 2**20
"""Bytes of a block that are read at once."""
IMAGES_FILE, PROGRESS_FILE = "rows.bin", "done.json"

T = TypeVar("T")
R = TypeVar("R")
Decode = Callable[[int], Array | str]
"""Decodes an image by its number, or says why it cannot."""


class Block(NamedTuple):
    """Some images that were decoded together.

    Attributes:
        end: number of the image behind the last of them.
        sha256: of the bytes of those that could be decoded.
    """

    end: int
    sha256: str


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
    goes on where it was; of several at once one decodes, and the others wait for it. What an
    earlier process decoded is compared with its checksums, and decoded anew from where it differs.

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
            blocks, broken = read_progress(folder, count, size)
            done = blocks[-1].end if blocks else 0
            written = done - len(broken)
            mend = "dataset.cache names another folder"
            require_disk((count - done) * size, folder, "decoded images", mend=mend)
            with (folder / IMAGES_FILE).open("ab") as file:
                file.truncate(written * size)
                for first, decoded in decode_chunks(decode, done, count, shape):
                    digest = hashlib.sha256()
                    for image in readable_images(decoded, first, broken):
                        digest.update(content := image.tobytes())
                        file.write(content)
                        written += 1
                    file.flush()
                    os.fsync(file.fileno())
                    blocks.append(Block(first + len(decoded), digest.hexdigest()))
                    write_progress(folder, blocks, broken)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; dataset.cache names another folder, and "
            "dataset.in_memory=true needs none"
        ) from None
    if not written:
        return DecodedImages(np.empty((0, *shape), np.uint8), broken)
    x = np.memmap(folder / IMAGES_FILE, np.uint8, "r", shape=(written, *shape))
    return DecodedImages(x, broken)


def read_progress(folder: Path, count: int, size: int) -> tuple[list[Block], dict[int, str]]:
    """The blocks that are done and sound, up to the first that is not; the broken images in them.

    Args:
        folder: of the images.
        count: of all images.
        size: of an image, in bytes.
    """
    file, images = folder / PROGRESS_FILE, folder / IMAGES_FILE
    if not (file.is_file() and images.is_file()):
        return [], {}
    try:
        progress = json.loads(file.read_text("utf-8"))
        broken = {int(number): str(why) for number, why in progress["broken"].items()}
        blocks = [Block(int(end), str(sha256)) for end, sha256 in progress["blocks"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        log.warning("%s is damaged, or of an older version: all images are decoded anew", file)
        return [], {}
    ends = [0, *(block.end for block in blocks)]
    offsets = [(end - sum(number < end for number in broken)) * size for end in ends]
    sound = map_threads(
        lambda number: hash_bytes(images, *offsets[number : number + 2]) == blocks[number].sha256,
        range(len(blocks)),
    )
    kept = [*sound, False].index(False)
    if kept < len(blocks):
        log.warning("%s is damaged: %d images are decoded anew", images, count - ends[kept])
    return blocks[:kept], {number: why for number, why in broken.items() if number < ends[kept]}


def hash_bytes(file: Path, start: int, end: int) -> str:
    """The sha256 of a part of a file, as far as it is there."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        stream.seek(start)
        while part := stream.read(min(READ_BYTES, end - stream.tell())):
            digest.update(part)
    return digest.hexdigest()


def write_progress(folder: Path, blocks: Sequence[Block], broken: dict[int, str]) -> None:
    """Writes which blocks are done, whole or not at all, and waits until it is on the disk."""
    with synced_write(folder / PROGRESS_FILE) as partial:
        partial.write_text(json.dumps({"blocks": blocks, "broken": broken}), "utf-8")


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
