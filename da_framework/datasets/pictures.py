"""Image files as rows: opened in parallel, upright, in eight bits, cut to one size."""

import hashlib
import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from da_framework.datasets.base import Array, Dataset, Domain, Seen
from da_framework.errors import InputError

log = logging.getLogger(__name__)

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LARGEST = 16 * 2**30
"""Bytes of decoded images of a domain above which they are not held in memory."""
SHOWN = 20
"""Lines of a list that a message holds."""
THUMBNAIL = 64
"""Side of a small picture, in pixels."""
ORIENTATION = 0x0112

T = TypeVar("T")
R = TypeVar("R")
OnError = Literal["stop", "skip"]


class Picture(NamedTuple):
    """An image file.

    Attributes:
        path: of the file.
        label: name of its class.
        test: whether it is of the official test part; ``None`` where there is none.
    """

    path: Path
    label: str
    test: bool | None = None


class Pictures(Dataset):
    """A data set whose rows are image files; what they are, a subclass says.

    Every image is turned upright as its camera says, scaled until its shorter side fits, and cut
    to a square about its middle.

    Attributes:
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        on_error: ``stop`` names the images that cannot be read; ``skip`` goes on without them.
    """

    size: int
    channels: int
    on_error: OnError

    @abstractmethod
    def pictures(self, name: str) -> Sequence[Picture]:
        """The images of a domain, in an order that does not depend on the file system."""

    def files(self, name: str) -> Sequence[Path]:
        return [picture.path for picture in self.pictures(name)]

    def fingerprint(self, name: str) -> str:
        """A hash of the images with their names and classes: a file in another class counts."""
        digest = hashlib.sha256()
        pictures = self.pictures(name)
        for picture, own in zip(pictures, together(file_hash, self.files(name)), strict=True):
            digest.update(f"{picture.label}/{picture.path.name}/{picture.test}\n".encode() + own)
        return digest.hexdigest()[:16]

    def load(self, name: str) -> Domain:
        pictures = self.pictures(name)
        size = len(pictures) * self.channels * self.size**2
        if size > LARGEST:
            raise InputError(
                f"{name} is {len(pictures)} images of {size / 2**30:.0f} GiB at dataset.size="
                f"{self.size}, more than is held in memory; a smaller size is"
            )
        read = self._read(name)
        if (broken := [own for own in read if isinstance(own, str)]) and self.on_error == "stop":
            for other in self.domains:  # one list of everything, not a domain at a time
                others = self._read(other) if other != name else []
                broken += [own for own in others if isinstance(own, str)]
            raise InputError(
                f"{len(broken)} images cannot be read (dataset.on_error=skip goes on without "
                f"them; da data check looks at all):\n  {shortened(broken)}"
            )
        kept = [(p, own) for p, own in zip(pictures, read, strict=True) if not isinstance(own, str)]
        if not kept:
            raise InputError(f"none of the {len(pictures)} images of {name} can be read")
        if broken:
            log.info("%s: %d images cannot be read and are left out", name, len(broken))
            self.skipped[name] = broken
        number = {one: label for label, one in enumerate(self.classes)}
        test = np.array([bool(picture.test) for picture, _ in kept])
        return Domain(
            np.stack([own for _, own in kept]),
            np.array([number[picture.label] for picture, _ in kept], dtype=np.int64),
            None if pictures[0].test is None else test,
        )

    def inspections(self, name: str) -> Sequence[Callable[[bool], Seen]]:
        return [partial(seen, picture) for picture in self.pictures(name)]

    def _read(self, name: str) -> list[Array | str]:
        return together(self.decoded, self.files(name))

    def decoded(self, path: Path) -> Array | str:
        """Channels, height and width in bytes; or why the image cannot be read."""
        try:
            return square(path.read_bytes(), self.size, self.channels)
        except Exception as error:  # what a damaged file makes of itself has no type
            return f"{path}: {reason(error)}"


def square(content: bytes, size: int, channels: int, *, crop: float = 1.0) -> Array:
    """An image upright, scaled, and cut to a square about its middle.

    Args:
        content: of a file; what Pillow raises of damaged ones is the caller's.
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        crop: share of the shorter side that is kept.

    Returns:
        Channels, height and width.
    """
    image, _ = opened(content)
    plain = image.convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(plain, (size, size), Image.Resampling.BILINEAR, bleed=(1 - crop) / 2)
    return np.asarray(fitted).reshape(size, size, -1).transpose(2, 0, 1)


def opened(content: bytes) -> tuple[Image.Image, list[str]]:
    """An image upright and in eight bits a channel; and what had to be done for that."""
    if not content:
        raise ValueError("it is empty")
    deep = content.startswith(b"\x89PNG") and content[24:25] == b"\x10"
    notes = ["16 bits a channel: the upper 8 are read"] if deep else []
    with Image.open(BytesIO(content)) as image:
        if image.getexif().get(ORIENTATION, 1) != 1:
            notes.append("turned upright, as its camera says")
        upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise ValueError("its pixels are fractions of no known range: save it with 8 or 16 bits")
    if upright.mode.startswith("I"):  # sixteen bits, which Pillow would cut off at 255
        values = np.asarray(upright)
        if values.max() > 65535:
            raise ValueError("its pixels have more than 16 bits: save it with 8 or 16")
        upright = Image.fromarray((values / 257).astype(np.uint8))
        notes = notes if deep else ["16 bits a channel: the upper 8 are read", *notes]
    if upright.mode == "CMYK":
        notes.append("made for print (CMYK): converted to RGB")
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright, notes


def reason(error: Exception) -> str:
    """Why an image cannot be read, in words."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image"
    return " ".join(str(error).split()) or type(error).__name__


def seen(picture: Picture, small: bool) -> Seen:
    """One image, read once for all that is to be known of it."""
    found = Seen(str(picture.path), picture.label, picture.test)
    try:
        image, notes = opened(picture.path.read_bytes())
        plain = image.convert("RGB")
    except Exception as error:  # what a damaged file makes of itself has no type
        return found._replace(broken=reason(error))
    width, height = plain.size
    return found._replace(
        digest=hashlib.sha256(f"{width}x{height}".encode() + plain.tobytes()).hexdigest(),
        shape=(height, width),
        notes=tuple(notes),
        picture=np.asarray(ImageOps.fit(plain, (THUMBNAIL, THUMBNAIL))) if small else None,
    )


def images(folder: Path) -> tuple[Path, ...]:
    """The images in the folders of a folder, in an order that the file system does not decide."""
    found = (path for path in folder.glob("*/*") if path.suffix.lower() in ENDINGS)
    return tuple(sorted(path for path in found if path.is_file()))


def other_files(folder: Path, known: Sequence[Path]) -> list[Path]:
    """The files below a folder that are not among those known; hidden ones are nobody's."""
    found = {path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}
    return sorted(found - set(known))


def shortened(lines: Sequence[str]) -> str:
    """A list for a message."""
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n  ".join([*lines[:SHOWN], *more])


def together(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """A function of every value, on all cores: decoding and hashing let go of the interpreter."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))


def file_hash(path: Path) -> bytes:
    """The sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
