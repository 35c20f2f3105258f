"""Folders of images: a folder a domain, in it a folder a class."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Unpack

from da_framework.datasets.base import Roles
from da_framework.datasets.discovered import Discovered
from da_framework.datasets.pictures import OnError, Picture, Pictures, images, other_files
from da_framework.ranges import Count


class Folder(Pictures, Discovered):
    """Images in ``root/<domain>/<class>/``.

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
        on_error: OnError,
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
        return sorted({picture.label for picture in self.pictures(name)})

    def pictures(self, name: str) -> Sequence[Picture]:
        found: Sequence[Picture] = self.once(
            name, lambda: [Picture(path, path.parent.name) for path in images(self.root / name)]
        )
        return found

    def ignored(self, name: str) -> Sequence[Path]:
        return other_files(self.root / name, self.files(name))
