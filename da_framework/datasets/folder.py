"""Folders of images: a folder a domain, in it a folder a class."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from da_framework.datasets.custom import Discovered
from da_framework.datasets.images import Keys, Picture, Pictures, images, other_files


class Folder(Pictures, Discovered):
    """Images in ``root/<domain>/<class>/``.

    Args:
        root: the folder of the domains.
        keys: of every data set of images.
    """

    layout = "root/<domain>/<class>/<image>"

    def __init__(self, *, root: str, **keys: Unpack[Keys]) -> None:
        super().__init__(root=root, **keys)

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
