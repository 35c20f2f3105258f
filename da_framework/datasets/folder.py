"""Folders of images: a folder a domain, in it a folder a class."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Unpack

from da_framework.core.types import External
from da_framework.datasets.custom import Discovered
from da_framework.datasets.images import (
    ImageDataset,
    ImageFile,
    ImageKeys,
    find_images,
    find_other_files,
)


class Folder(ImageDataset, Discovered):
    """Images in ``root/<domain>/<class>/``.

    Args:
        root: the folder of the domains.
        keys: of every data set of images.
    """

    layout = "root/<domain>/<class>/<image>"

    def __init__(self, *, root: Annotated[str, External()], **keys: Unpack[ImageKeys]) -> None:
        super().__init__(root=root, **keys)

    def discover(self) -> Iterable[str]:
        return [
            path.name for path in self.root.iterdir() if path.is_dir() and self.files(path.name)
        ]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted({image.label for image in self.image_files(name)})

    def image_files(self, name: str) -> Sequence[ImageFile]:
        files: Sequence[ImageFile] = self.read_once(name, lambda: self._find_files(name))
        return files

    def _find_files(self, name: str) -> list[ImageFile]:
        return [ImageFile(path, path.parent.name) for path in find_images(self.root / name)]

    def ignored(self, name: str) -> Sequence[Path]:
        return find_other_files(self.root / name, self.files(name))
