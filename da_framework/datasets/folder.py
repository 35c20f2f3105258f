"""Folders of images: a folder a domain, in it a folder a class."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Unpack

import numpy as np

from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.discovered import Discovered
from da_framework.datasets.pictures import square
from da_framework.errors import InputError
from da_framework.ranges import Count

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LARGEST = 16 * 2**30
"""Bytes of decoded images of a domain above which they are not held in memory."""


class Folder(Discovered):
    """Images in ``root/<domain>/<class>/``.

    Every image is turned upright as its camera says, scaled until its shorter side fits, and cut
    to a square about its middle.

    Args:
        root: the folder of the domains.
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        on_error: ``stop`` names the images that cannot be read; ``skip`` goes on without them.
    """

    layout = "root/<domain>/<class>/<image>"

    def __init__(
        self,
        *,
        root: str,
        size: Count,
        channels: Literal[1, 3],
        on_error: Literal["stop", "skip"],
        **roles: Unpack[Roles],
    ) -> None:
        self.size = size
        self.channels = channels
        self.on_error = on_error
        super().__init__(root=root, **roles)

    def discover(self) -> Iterable[str]:
        return [
            path.name for path in self.root.iterdir() if path.is_dir() and self.files(path.name)
        ]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted({path.parent.name for path in self.files(name)})

    def files(self, name: str) -> Sequence[Path]:
        found: Sequence[Path] = self.once(name, lambda: images(self.root / name))
        return found

    def load(self, name: str) -> Domain:
        paths = self.files(name)
        size = len(paths) * self.channels * self.size**2
        if size > LARGEST:
            raise InputError(
                f"{name} is {len(paths)} images of {size / 2**30:.0f} GiB at dataset.size="
                f"{self.size}, more than is held in memory; a smaller size is"
            )
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            read = list(pool.map(self.decoded, paths))
        broken = [own for own in read if isinstance(own, str)]
        if broken and self.on_error == "stop":
            shown = "\n  ".join(broken[:20])
            raise InputError(
                f"{len(broken)} images of {name} cannot be read (dataset.on_error=skip goes on "
                f"without them):\n  {shown}"
            )
        kept = [
            (path, own) for path, own in zip(paths, read, strict=True) if not isinstance(own, str)
        ]
        if not kept:
            raise InputError(f"none of the {len(paths)} images of {name} can be read")
        y = self.labels(np.array([path.parent.name for path, _ in kept]))
        return Domain(np.stack([own for _, own in kept]), y)

    def decoded(self, path: Path) -> Array | str:
        """Channels, height and width in bytes; or why the image cannot be read."""
        try:
            return square(path, self.size, self.channels)
        except Exception as error:  # what a damaged file makes of itself has no type
            return f"{path}: {' '.join(str(error).split())}"


def images(folder: Path) -> tuple[Path, ...]:
    """The images of a domain, in an order that does not depend on the file system."""
    found = (path for path in folder.glob("*/*") if path.suffix.lower() in ENDINGS)
    return tuple(sorted(path for path in found if path.is_file()))
