"""Folders of images: a folder a domain, in it a folder a class."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Unpack

from da_framework.core.quoting import override
from da_framework.core.types import External
from da_framework.datasets.custom import Discovered, Labels, is_hidden
from da_framework.datasets.images import (
    IMAGE_ENDINGS,
    ImageDataset,
    ImageFile,
    ImageKeys,
    find_other_files,
)

TRAIN_PARTS = ("train", "training", "val", "valid", "validation")
"""Names of folders within a domain that hold its training part."""
TEST_PARTS = ("test", "testing")
"""Names of those that hold its official test part."""
NO_CLASS = ("unlabelled", "unlabeled")
"""Names of those beside folders of classes that hold images without a label."""


class Folder(ImageDataset, Discovered):
    """Images in ``root/<domain>/<class>/``, at any depth below.

    A target may have no folders of classes: its images are not labelled then. Where some are, a
    folder ``unlabelled`` beside those of the classes holds the others. A domain may hold
    ``train/`` and ``test/``, and the folders of classes in these: its official parts. Where every
    domain holds one folder of the same name alone, the classes are looked for in it.

    Args:
        root: the folder of the domains.
        keys: of every data set of images.
    """

    kind = "folder"
    layout = "root/<domain>/<class>/<image>"

    def __init__(self, *, root: Annotated[str, External()], **keys: Unpack[ImageKeys]) -> None:
        super().__init__(root=root, **keys)

    def discover(self) -> Iterable[str]:
        return [folder.name for folder in find_folders(self.root) if self.files(folder.name)]

    def labels(self, name: str) -> Sequence[Labels]:
        return [Labels("", [image.label for image in self.image_files(name)])]

    def image_files(self, name: str) -> Sequence[ImageFile]:
        files: Sequence[ImageFile] = self.read_once(name, lambda: self._find_files(name))
        return files

    def ignored(self, name: str) -> Sequence[Path]:
        return find_other_files(self.root / name, self.files(name))

    def layout_hint(self) -> str:
        within = find_folders(self.root)
        if (
            len(within) == 1
            and sum(bool(find_images_below(f)) for f in find_folders(within[0])) > 1
        ):
            return f"; one level further: {override('dataset.root', str(within[0]))}"
        return super().layout_hint()

    def label_hint(self) -> str:
        above = override("dataset.root", str(self.root.parent))
        return (
            "; its images are in no folders of classes; if the folders are classes, and "
            f"{self.root} a domain: {above} {override('dataset.source', [self.root.name])}"
        )

    def _find_files(self, name: str) -> list[ImageFile]:
        folder = self.root / name / self._wrapper()
        below = [(path, path.relative_to(folder).parts) for path in find_images_below(folder)]
        if are_official({parts[0] for _, parts in below}) and self._has_parts():
            return label_by_folder(
                [(path, parts[1:], parts[0].lower() in TEST_PARTS) for path, parts in below]
            )
        return label_by_folder([(path, parts, None) for path, parts in below])

    def _has_parts(self) -> bool:
        """Whether folders called so are official parts.

        They are where those of a domain hold folders of classes, or another's classes have other
        names.
        """
        parts: bool = self.read_once("/", self._find_parts)
        return parts

    def _find_parts(self) -> bool:
        for domain in find_folders(self.root):
            folder = domain / self._wrapper()
            below = [path.relative_to(folder).parts for path in find_images_below(folder)]
            classes = {parts[0].lower() for parts in below if len(parts) > 1}
            if classes - {*TRAIN_PARTS, *TEST_PARTS, *NO_CLASS}:
                return True
            if are_official({parts[0] for parts in below}) and min(map(len, below)) > 2:
                return True
        return False

    def _wrapper(self) -> str:
        """The folder that every domain holds alone, and its classes within; nothing if none."""
        wrapper: str = self.read_once("", self._find_wrapper)
        return wrapper

    def _find_wrapper(self) -> str:
        names = set()
        for domain in find_folders(self.root):
            within = find_folders(domain)
            plain = any(path.parent == domain for path in find_images_below(domain))
            if not within and not plain:
                continue
            if len(within) != 1 or plain or len(find_folders(within[0])) < 2:
                return ""
            names.add(within[0].name)
        return names.pop() if len(names) == 1 else ""


def label_by_folder(
    images: Sequence[tuple[Path, Sequence[str], bool | None]],
) -> list[ImageFile]:
    """Labels images by the first folder that they are in.

    Args:
        images: their paths, the parts of these below the domain, and whether they are tested on.

    Returns:
        Those in folders; all, without a label, where none is in one.
    """
    labelled = [
        ImageFile(path, None if parts[0].lower() in NO_CLASS else parts[0], test)
        for path, parts, test in images
        if len(parts) > 1
    ]
    return labelled or [ImageFile(path, None, test) for path, _, test in images]


def are_official(names: Iterable[str]) -> bool:
    """Whether folders in a domain are its official parts by their names."""
    parts = {name.lower() for name in names}
    return (
        parts <= {*TRAIN_PARTS, *TEST_PARTS}
        and bool(parts & {*TRAIN_PARTS})
        and bool(parts & {*TEST_PARTS})
    )


def find_folders(folder: Path) -> list[Path]:
    """The folders in a folder, but those that systems and tools leave there."""
    below = (path for path in sorted(folder.iterdir()) if path.is_dir())
    return [path for path in below if not is_hidden(path, folder)]


def find_images_below(folder: Path) -> list[Path]:
    """The images below a folder, in an order that the file system does not decide."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    return sorted(path for path in paths if path.is_file() and not is_hidden(path, folder))
