"""Office-Caltech10 as images, read out of their archive without unpacking it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Unpack
from zipfile import ZipFile

from pydantic import Field

from da_framework.core.errors import InputError
from da_framework.core.types import Count, External, Irrelevant
from da_framework.datasets.base import Dataset, Roles
from da_framework.datasets.images import ImageDataset, ImageFile, InMemory
from da_framework.datasets.office_caltech10 import CLASSES, DOMAINS, LICENCE
from da_framework.datasets.published import Published, PublishedFile

ARCHIVE = "images_256.zip"
MAX_IMAGE_BYTES = 16 * 2**20
"""Bytes of one unpacked image that are read."""


class OfficeCaltech10Images(Published, ImageDataset):
    """Amazon, Caltech-256, DSLR and webcam images of the ten classes that all four have.

    - Saenko et al., "Adapting Visual Category Models to New Domains", ECCV 2010.
    - Gong et al., "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012.

    Args:
        size: height and width, in pixels.
        crop: share of the shorter side that is kept; .875 is 224 of 256, as the field crops.
        data_dir: the folder that holds ``office_caltech10/``.
        in_memory: whether decoded images are held there; see ``images.ImageStorage``.
        cache: folder of the files that hold them otherwise.
    """

    classes = CLASSES
    names = DOMAINS
    folder = "office_caltech10"
    origins: ClassVar = {
        ARCHIVE: PublishedFile(
            28534172,
            "61d8b757cdb34a3e271bb2bc5dc520d0e38e243272ef993b472f8bda0bf04a3d",
            "the images of https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation, their "
            "shorter side at most 256 pixels",
        )
    }

    def __init__(
        self,
        *,
        size: Count,
        crop: Annotated[float, Field(gt=0, le=1)],
        data_dir: Annotated[str, Irrelevant(), External()],
        in_memory: Annotated[InMemory, Irrelevant()] = "auto",
        cache: Annotated[str | None, Irrelevant(), External(off=None)] = None,
        **roles: Unpack[Roles],
    ) -> None:
        storage: Any = {"size": size, "in_memory": in_memory, "cache": cache}
        super().__init__(data_dir=data_dir, channels=3, on_error="stop", **storage, **roles)
        self.crop = crop

    def file(self, name: str) -> str:
        return ARCHIVE

    def licence(self, name: str) -> str:
        return LICENCE

    def fingerprint(self, name: str) -> str:
        self.verify_file(name)
        return Dataset.fingerprint(self, name)  # of the archive, whatever is in it

    @cached_property
    def archive(self) -> ZipFile:
        """The archive of the images, open as long as the data set is there."""
        return ZipFile(self.verify_file(self.names[0]))

    def image_files(self, name: str) -> Sequence[ImageFile]:
        """The files in ``<domain>/<class>/`` of the archive.

        Raises:
            InputError: one is larger than an image is.
        """
        images = []
        for member in self.archive.infolist():
            if member.is_dir() or not member.filename.startswith(f"{name}/"):
                continue
            path = Path(member.filename)
            if member.file_size > MAX_IMAGE_BYTES:
                raise InputError(
                    f"{self.archive.filename}: {path} is said to unpack to {member.file_size} "
                    f"bytes, more than the {MAX_IMAGE_BYTES} that an image may have"
                )
            images.append(ImageFile(path, path.parent.name))
        return sorted(images, key=lambda image: image.path.as_posix())

    def content(self, name: str, path: Path) -> bytes:
        return self.archive.read(path.as_posix())
