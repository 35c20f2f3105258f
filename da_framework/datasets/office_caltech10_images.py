"""Office-Caltech10 as images, read out of their archive without unpacking it."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, ClassVar, Unpack
from zipfile import ZipFile

import numpy as np
from pydantic import Field

from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.office_caltech10 import CLASSES, DOMAINS
from da_framework.datasets.pictures import square
from da_framework.datasets.published import Origin, Published
from da_framework.errors import InputError
from da_framework.ranges import Count

ARCHIVE = "images_256.zip"
LARGEST = 16 * 2**20
"""Bytes of one unpacked image that are read."""


class OfficeCaltech10Images(Published):
    """Amazon, Caltech-256, DSLR and webcam pictures of the ten classes that all four have.

    - Saenko et al., "Adapting Visual Category Models to New Domains", ECCV 2010.
    - Gong et al., "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012.

    Args:
        size: height and width, in pixels.
        crop: share of the shorter side that is kept; .875 is 224 of 256, as the field crops.
        data_dir: the folder that holds ``office_caltech10/``.
    """

    classes = CLASSES
    names = DOMAINS
    folder = "office_caltech10"
    origins: ClassVar = {
        ARCHIVE: Origin(
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
        data_dir: str,
        **roles: Unpack[Roles],
    ) -> None:
        self.size = size
        self.crop = crop
        super().__init__(data_dir=data_dir, **roles)

    def file(self, name: str) -> str:
        return ARCHIVE

    def load(self, name: str) -> Domain:
        archive = self.verified(name)

        def decoded(member: tuple[str, bytes]) -> Array:
            try:
                return square(member[1], self.size, 3, crop=self.crop)
            except Exception as error:  # what a damaged file makes of itself has no type
                reason = " ".join(str(error).split())
                raise InputError(f"{member[0]} in {archive} cannot be read: {reason}") from None

        held = sorted(members(archive, name))
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            x = np.stack(list(pool.map(decoded, held)))
        return Domain(x, np.array([self.classes.index(path.split("/")[1]) for path, _ in held]))


def members(archive: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    """Files in ``folder/<class>/`` of an archive, with their bytes; nothing is written anywhere.

    Raises:
        InputError: one is larger than an image is.
    """
    with ZipFile(archive) as file:
        for member in file.infolist():
            if member.is_dir() or not member.filename.startswith(f"{folder}/"):
                continue
            if member.file_size > LARGEST:
                raise InputError(
                    f"{archive}: {member.filename} is said to unpack to {member.file_size} bytes, "
                    f"more than the {LARGEST} that an image may have"
                )
            yield member.filename, file.read(member)
