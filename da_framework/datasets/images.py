"""Image files as rows: opened in parallel, upright, in eight bits, cut to one size."""

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from da_framework.core.errors import InputError, one_line
from da_framework.core.files import file_sha256
from da_framework.core.types import Count, Irrelevant
from da_framework.datasets.base import Array, Dataset, Domain, Roles, SampleReport
from da_framework.datasets.image_cache import Decoded, in_memory, memory, on_disk, together

log = logging.getLogger(__name__)

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
SHARE = 1 / 8
"""Of memory, that decoded images may take: the roles' own rows are as many again, and the jobs of
a sweep share what several of them have read."""
SHOWN = 20
"""Lines of a list that a message holds."""
THUMBNAIL = 64
"""Side of a small picture, in pixels."""
ORIENTATION = 0x0112

OnError = Literal["stop", "skip"]
InMemory = Literal["auto"] | bool


class Held(TypedDict, total=False):
    """How decoded images are held, which changes no number; older records do not say it.

    Attributes:
        in_memory: whether there, or in a file whose rows are read as needed; ``auto``: if they
            take no more than an eighth of it.
        cache: folder of those files; ``None``: there are none.
    """

    in_memory: Annotated[InMemory, Irrelevant()]
    cache: Annotated[str | None, Irrelevant()]


class Keys(Roles, Held):
    """The keys every data set of images has.

    Attributes:
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        on_error: ``stop`` names the images that cannot be read; ``skip`` goes on without them.
    """

    size: Count
    channels: Literal[1, 3]
    on_error: OnError


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

    Args:
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
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
        size: Count,
        channels: Literal[1, 3],
        on_error: OnError,
        in_memory: Annotated[InMemory, Irrelevant()] = "auto",
        cache: Annotated[str | None, Irrelevant()] = None,
        **others: Any,
    ) -> None:
        self.size = size
        self.channels = channels
        self.on_error = on_error
        self.in_memory = in_memory
        self.cache = cache
        self._fingerprints: dict[str, str] = {}
        super().__init__(**others)

    @abstractmethod
    def pictures(self, name: str) -> Sequence[Picture]:
        """The images of a domain, in an order that does not depend on the file system."""

    def files(self, name: str) -> Sequence[Path]:
        return [picture.path for picture in self.pictures(name)]

    def fingerprint(self, name: str) -> str:
        """A hash of the images with their names and classes: a file in another class counts."""
        if name not in self._fingerprints:
            digest = hashlib.sha256()
            pictures = self.pictures(name)
            hashes = together(file_sha256, self.files(name))
            for picture, sha256 in zip(pictures, hashes, strict=True):
                name_and_class = f"{picture.label}/{picture.path.name}/{picture.test}\n"
                digest.update(name_and_class.encode() + bytes.fromhex(sha256))
            self._fingerprints[name] = digest.hexdigest()[:16]
        return self._fingerprints[name]

    def load(self, name: str) -> Domain:
        pictures = self.pictures(name)
        decoded = self.decoded(name)
        broken = [*decoded.broken.values()]
        if broken and self.on_error == "stop":
            for other in self.domains:  # one list of everything, not a domain at a time
                broken += self.decoded(other).broken.values() if other != name else []
            raise InputError(
                f"{len(broken)} images cannot be read (dataset.on_error=skip goes on without "
                f"them; da data check looks at all):\n  {shortened(broken)}"
            )
        kept = [own for number, own in enumerate(pictures) if number not in decoded.broken]
        if not kept:
            raise InputError(f"none of the {len(pictures)} images of {name} can be read")
        if broken:
            log.info("%s: %d images cannot be read and are left out", name, len(broken))
            self.skipped[name] = broken
        number = {one: label for label, one in enumerate(self.classes)}
        return Domain(
            decoded.x,
            np.array([number[picture.label] for picture in kept], dtype=np.int64),
            None if pictures[0].test is None else np.array([bool(own.test) for own in kept]),
        )

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        return [
            partial(seen, picture, partial(self.content, name, picture.path))
            for picture in self.pictures(name)
        ]

    def decoded(self, name: str) -> Decoded:
        """The images of a domain, in memory or mapped, and why some cannot be read.

        Raises:
            InputError: there is no room for them.
        """
        paths = [picture.path for picture in self.pictures(name)]
        shape = (self.channels, self.size, self.size)

        def decode(number: int) -> Array | str:
            try:
                return square(
                    self.content(name, paths[number]), self.size, self.channels, crop=self.crop
                )
            except Exception as error:  # what a damaged file makes of itself has no type
                return reason(error)

        if self.resident:
            found = in_memory(decode, len(paths), shape)
        else:
            folder = Path(self.cache or "") / "images" / self._made_of(name)
            found = on_disk(decode, len(paths), shape, folder)
        return found._replace(
            broken={number: f"{paths[number]}: {why}" for number, why in found.broken.items()}
        )

    def content(self, name: str, path: Path) -> bytes:
        """What an image file of a domain holds."""
        return path.read_bytes()

    @cached_property
    def resident(self) -> bool:
        """Whether decoded images are held in memory.

        Raises:
            InputError: they cannot be, and there is no folder for them.
        """
        count = sum(len(self.pictures(name)) for name in self.domains)
        size = count * self.channels * self.size**2
        fits = size <= SHARE * memory()
        resident = fits if self.in_memory == "auto" else self.in_memory
        words = f"{count} images, {size / 2**20:.1f} MiB decoded"
        if not resident and self.cache is None:
            raise InputError(
                f"{words}, are not held in memory, and there is no folder for them: "
                "dataset.cache=cache names one; dataset.in_memory=true needs none"
            )
        where = "in memory" if resident else f"in {self.cache}/images, read as needed"
        self.storage_note = f"{words}: {where}"
        return resident

    def _made_of(self, name: str) -> str:
        """A hash of all that decides the decoded images of a domain."""
        shape = (self.channels, self.size, self.crop)
        code = file_sha256(Path(__file__))
        parts = (name, self.fingerprint(name), shape, PIL.__version__, code)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


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
    return one_line(error) or type(error).__name__


def seen(picture: Picture, content: Callable[[], bytes], small: bool) -> SampleReport:
    """One image, read once for all that is to be known of it."""
    found = SampleReport(str(picture.path), picture.label, picture.test)
    try:
        image, notes = opened(content())
        plain = image.convert("RGB")
    except Exception as error:  # what a damaged file makes of itself has no type
        return found._replace(broken=reason(error))
    width, height = plain.size
    return found._replace(
        digest=hashlib.sha256(f"{width}x{height}".encode() + plain.tobytes()).hexdigest(),
        shape=(height, width),
        notes=tuple(notes),
        thumbnail=np.asarray(ImageOps.fit(plain, (THUMBNAIL, THUMBNAIL))) if small else None,
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
