"""Data sets of image files: opened in parallel, upright, in eight bits, cut to one size."""

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import numpy as np
import PIL
from PIL import Image, ImageOps
from pydantic import Field

from da_framework.core.errors import InputError
from da_framework.core.files import file_sha256
from da_framework.core.labels import UNLABELLED
from da_framework.core.pictures import describe_failure, open_picture
from da_framework.core.room import in_words, memory_limit, require_memory
from da_framework.core.types import Count, External, Irrelevant
from da_framework.datasets.base import Array, Dataset, Domain, Roles, SampleReport, hash_values
from da_framework.datasets.image_cache import (
    DecodedImages,
    decode_in_memory,
    decode_to_disk,
    map_threads,
)

log = logging.getLogger(__name__)

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MEMORY_SHARE = 1 / 8
"""Of memory, that decoded images may take: the samples of the roles are as many again, and the jobs
of a sweep share what several of them have read."""
MESSAGE_LINES = 20
"""Lines of a list that a message holds."""
THUMBNAIL = 64
"""Side of a thumbnail, in pixels."""
ORIENTATION = 0x0112

OnError = Literal["stop", "skip"]
InMemory = Literal["auto"] | bool
ImageSize = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]
"""Sides of images in pixels: one for both, or height and width."""
Channels = Literal[1, 3, 4]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""How Pillow calls images of so many channels."""


class ImageStorage(TypedDict, total=False):
    """How decoded images are held, which changes no number; older records do not say it.

    Attributes:
        in_memory: whether there, or in a file that is read as needed; ``auto``: if they take no
            more than an eighth of it.
        cache: folder of those files; ``None``: there are none.
    """

    in_memory: Annotated[InMemory, Irrelevant()]
    cache: Annotated[str | None, Irrelevant(), External(off=None)]


class ImageKeys(Roles, ImageStorage):
    """The keys every data set of images has.

    Attributes:
        size: of both sides in pixels, or height and width.
        channels: 3 for colour, 4 with transparency, 1 for grey.
        on_error: ``stop`` names the images that cannot be read; ``skip`` goes on without them.
    """

    size: ImageSize
    channels: Channels
    on_error: OnError


class ImageFile(NamedTuple):
    """An image file with its class.

    Attributes:
        path: of the file.
        label: name of its class; ``None`` where it has none.
        test: whether it is of the official test part; ``None`` where there is none.
    """

    path: Path
    label: str | None
    test: bool | None = None


class ImageDataset(Dataset):
    """A data set whose samples are image files; which ones, a subclass says.

    Every image is turned upright as its camera says, scaled until it covers the size, and cut
    about its middle.

    Args:
        size: of both sides in pixels, or height and width.
        channels: 3 for colour, 4 with transparency, 1 for grey.
        on_error: ``stop`` names the images that cannot be read; ``skip`` goes on without them.
        in_memory: whether decoded images are held there.
        cache: folder of the files that hold them otherwise.
        others: keys of another base class, and the roles.

    Attributes:
        crop: share of the shorter side that is kept.
    """

    crop: float = 1.0

    def __init__(
        self,
        *,
        size: ImageSize,
        channels: Channels,
        on_error: OnError,
        in_memory: Annotated[InMemory, Irrelevant()] = "auto",
        cache: Annotated[str | None, Irrelevant(), External(off=None)] = None,
        **others: Any,
    ) -> None:
        self.size = size
        self.channels = channels
        self.on_error = on_error
        self.in_memory = in_memory
        self.cache = cache
        self._fingerprints: dict[str, str] = {}
        self._whole: dict[str, list[int]] = {}
        self._listed: dict[str, Sequence[ImageFile]] = {}
        super().__init__(**others)

    @abstractmethod
    def image_files(self, name: str) -> Sequence[ImageFile]:
        """The images of a domain, in an order that does not depend on the file system."""

    def files(self, name: str) -> Sequence[Path]:
        return [image.path for image in self.image_files(name)]

    def fingerprint(self, name: str) -> str:
        """A hash of the images with their names and classes: a file in another class counts."""
        if name not in self._fingerprints:
            digest = hashlib.sha256()
            hashes = map_threads(hash_content, self.files(name))
            for image, sha256 in zip(self.image_files(name), hashes, strict=True):
                name_and_class = f"{image.label}/{image.path.name}/{image.test}\n"
                digest.update(
                    name_and_class.encode(errors="surrogateescape") + bytes.fromhex(sha256)
                )
            self._fingerprints[name] = digest.hexdigest()[:16]
        return self._fingerprints[name]

    def load(self, name: str) -> Domain:
        images = self.image_files(name)
        decoded = self.decode(name)
        broken = [*decoded.broken.values()]
        if broken and self.on_error == "stop":
            for other in self.domains:  # one list of everything, not a domain at a time
                broken += self.decode(other).broken.values() if other != name else []
            raise InputError(
                f"{len(broken)} images cannot be read (dataset.on_error=skip goes on without "
                "them; da data check looks at all):",
                *shorten_list(broken),
            )
        whole = [number for number in range(len(images)) if number not in decoded.broken]
        if not whole:
            raise InputError(f"none of the {len(images)} images of {name} can be read")
        if broken:
            log.info("%s: %d images cannot be read and are left out", name, len(broken))
            self.skipped[name] = broken
        self._whole[name] = whole
        kept = [images[number] for number in whole]
        label_of: dict[str | None, int] = {None: UNLABELLED}
        label_of |= {name: label for label, name in enumerate(self.classes)}
        return Domain(
            decoded.x,
            np.array([label_of[image.label] for image in kept], dtype=np.int64),
            None if images[0].test is None else np.array([bool(image.test) for image in kept]),
        )

    def place_of(self, name: str, row: int) -> int:
        if name not in self._whole:
            self.load(name)
        return self._whole[name][row]

    def place_name(self, name: str, place: int) -> str:
        return str(self.listed(name)[place].path)

    def listed(self, name: str) -> Sequence[ImageFile]:
        """The images of a domain, listed once however many of them are asked for."""
        if name not in self._listed:
            self._listed[name] = self.image_files(name)
        return self._listed[name]

    def hash_sample(self, name: str, row: int) -> str:
        path = self.listed(name)[self.place_of(name, row)].path
        return hash_values(self.content(name, path))

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        return [
            partial(inspect_image, image, partial(self.content, name, image.path))
            for image in self.image_files(name)
        ]

    def decode(self, name: str) -> DecodedImages:
        """The images of a domain, in memory or mapped, and why some cannot be read.

        Raises:
            InputError: there is no room for them.
        """
        paths = [image.path for image in self.image_files(name)]
        shape = (self.channels, *sides(self.size))

        def decode_file(number: int) -> Array | str:
            try:
                content = self.content(name, paths[number])
                return crop_middle(content, self.size, self.channels, crop=self.crop)
            except Exception as error:  # what a damaged file makes of itself has no type
                return describe_failure(error)

        if self.held_in_memory:
            decoded = decode_in_memory(decode_file, len(paths), shape)
        else:
            folder = Path(self.cache or "") / "images" / self._cache_key(name)
            decoded = decode_to_disk(decode_file, len(paths), shape, folder)
        return decoded._replace(
            broken={number: f"{paths[number]}: {why}" for number, why in decoded.broken.items()}
        )

    def content(self, name: str, path: Path) -> bytes:
        """The bytes of an image file of a domain."""
        return path.read_bytes()

    @cached_property
    def held_in_memory(self) -> bool:
        """Whether decoded images are held in memory.

        Raises:
            InputError: they cannot be, and there is no folder for them; or there is no room, or
                more would be written than memory holds, which nobody asked for.
        """
        count = sum(len(self.image_files(name)) for name in self.domains)
        size = count * self.channels * prod(sides(self.size))
        smaller = (
            f"dataset.size={self.size} is of the sides of an image in pixels; a smaller one helps"
        )
        # as numbers of four bytes, and beside them what a network makes of them
        batch = sum(self.batch_size.values()) * 4 * self.channels * prod(sides(self.size))
        require_memory(batch, f"a batch of {sum(self.batch_size.values())} images", mend=smaller)
        fits = size <= MEMORY_SHARE * memory_limit()
        in_memory = fits if self.in_memory == "auto" else self.in_memory
        amount = f"{count} images, {in_words(size)} decoded"
        if not in_memory and self.cache is None:
            raise InputError(
                f"{amount}, are not held in memory, and there is no folder for them: "
                "dataset.cache=cache names one; dataset.in_memory=true needs none"
            )
        if in_memory:
            what = f"{amount}, and as many again for the roles"
            require_memory(2 * size, what, mend=f"{smaller}, or dataset.in_memory=false")
        elif self.in_memory == "auto" and size > (memory := memory_limit()):
            raise InputError(
                f"{amount}, are more than the {in_words(memory)} of memory: {smaller}; "
                f"dataset.in_memory=false writes them to {self.cache}"
            )
        else:
            log.info("%s: kept in %s/images", amount, self.cache)
        where = "in memory" if in_memory else f"in {self.cache}/images, read as needed"
        self.storage_note = f"{amount}: {where}"
        return in_memory

    def _cache_key(self, name: str) -> str:
        """A hash of all that decides the decoded images of a domain."""
        shape = (self.channels, *sides(self.size), self.crop)
        code = file_sha256(Path(__file__))
        parts = (name, self.fingerprint(name), shape, PIL.__version__, code)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def sides(size: ImageSize) -> tuple[int, int]:
    """Height and width of images."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def crop_middle(content: bytes, size: ImageSize, channels: int, *, crop: float = 1.0) -> Array:
    """Turns an image upright, scales it until it covers the size, and crops its middle.

    Args:
        content: of a file; what Pillow raises of damaged ones is the caller's.
        size: of both sides in pixels, or height and width.
        channels: 3 for colour, 4 with transparency, 1 for grey.
        crop: share of the shorter side that is kept.

    Returns:
        Channels, height and width.
    """
    image, _ = open_upright(content)
    height, width = sides(size)
    plain = image.convert(MODES[channels])
    fitted = ImageOps.fit(plain, (width, height), Image.Resampling.BILINEAR, bleed=(1 - crop) / 2)
    return np.asarray(fitted).reshape(height, width, -1).transpose(2, 0, 1)


def open_upright(content: bytes) -> tuple[Image.Image, list[str]]:
    """Opens an image, upright and in eight bits a channel; with notes on what that took."""
    if not content:
        raise ValueError("it is empty")
    deep = content.startswith(b"\x89PNG") and content[24:25] == b"\x10"
    notes = ["16 bits a channel: the upper 8 are read"] if deep else []
    with open_picture(content) as image:
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


def hash_content(file: Path) -> str:
    """The sha256 of a file; of one that cannot be read, which decoding names, that of nothing."""
    try:
        return file_sha256(file)
    except OSError:
        return hashlib.sha256().hexdigest()


def inspect_image(file: ImageFile, content: Callable[[], bytes], thumbnail: bool) -> SampleReport:
    """Reads an image once for all that is to be known of it."""
    report = SampleReport(str(file.path), file.label, file.test)
    try:
        image, notes = open_upright(content())
        plain = image.convert("RGB")
    except Exception as error:  # what a damaged file makes of itself has no type
        return report._replace(broken=describe_failure(error))
    width, height = plain.size
    return report._replace(
        digest=hashlib.sha256(f"{width}x{height}".encode() + plain.tobytes()).hexdigest(),
        shape=(height, width),
        notes=tuple(notes),
        thumbnail=np.asarray(ImageOps.fit(plain, (THUMBNAIL, THUMBNAIL))) if thumbnail else None,
    )


def find_images(folder: Path) -> tuple[Path, ...]:
    """The images in the folders of a folder, in an order that the file system does not decide."""
    paths = (path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_ENDINGS)
    return tuple(sorted(path for path in paths if path.is_file()))


def find_other_files(folder: Path, known: Sequence[Path]) -> list[Path]:
    """The files below a folder that are not among those known; hidden ones are not counted."""
    files = {path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}
    return sorted(files - set(known))


def shorten_list(lines: Sequence[str]) -> list[str]:
    """The first lines of a list and the number of the others, for a message."""
    more = [f"... and {len(lines) - MESSAGE_LINES} more"] if len(lines) > MESSAGE_LINES else []
    return [f"  {line}" for line in [*lines[:MESSAGE_LINES], *more]]
