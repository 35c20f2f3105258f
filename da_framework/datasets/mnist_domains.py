"""What data sets have in common whose domains are all made of MNIST."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from da_framework.datasets.base import Array, Dataset, Roles
from da_framework.datasets.digits_files import (
    LICENCES,
    explain_missing,
    missing_files,
    read_published,
)


class MNISTDomains(Dataset):
    """Domains that are made of MNIST's images, in a drawn order.

    Args:
        data_dir: the folder that holds ``digits/mnist.npz``.
        seed: of what is drawn, apart from the seeds of splits and of training.
    """

    def __init__(self, data_dir: str, seed: int, **roles: Unpack[Roles]) -> None:
        super().__init__(**roles)
        self.folder = Path(data_dir).expanduser().absolute() / "digits"
        self.seed = seed

    def files(self, name: str) -> Sequence[Path]:
        return (self.folder / "mnist.npz",)

    def licence(self, name: str) -> str:
        return LICENCES["mnist"]

    def fingerprint(self, name: str) -> str:
        self._check_files()
        return super().fingerprint(name)

    def read(self) -> dict[str, Array]:
        """MNIST's arrays.

        Raises:
            InputError: the file is not there.
        """
        self._check_files()
        return read_published(self.folder, "mnist")

    def _check_files(self) -> None:
        if lacking := missing_files(self.files("")):
            raise explain_missing(lacking, self.folder)
