"""Published data sets whose files must be put in place by hand: known by size and hash."""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from da_framework.core.errors import InputError
from da_framework.core.types import Irrelevant
from da_framework.datasets.base import Array, Dataset


class Origin(NamedTuple):
    """A file as published.

    Attributes:
        size: in bytes.
        sha256: of the file.
        what: its content and where it comes from.
    """

    size: int
    sha256: str
    what: str


class Published(Dataset):
    """A data set in ``<data_dir>/<folder>``.

    Args:
        data_dir: the folder that holds the data set's own.
        others: keys of another base class, and the roles.
    """

    folder: ClassVar[str]
    origins: ClassVar[Mapping[str, Origin]]
    """Its files by name."""

    def __init__(self, *, data_dir: Annotated[str, Irrelevant()], **others: Any) -> None:
        self.place = Path(data_dir).expanduser().absolute() / self.folder
        self.read: dict[str, dict[str, Array]] = {}
        self.sound: set[Path] = set()
        super().__init__(**others)

    @abstractmethod
    def file(self, name: str) -> str:
        """The file that a domain is in."""

    def files(self, name: str) -> Sequence[Path]:
        return [self.place / self.file(name)]

    def fingerprint(self, name: str) -> str:
        self.verified(name)
        return super().fingerprint(name)

    def arrays(self, name: str) -> Mapping[str, Any]:
        """What the file of a domain holds, once its hash is found right."""
        path = self.verified(name)
        if path.name not in self.read:
            with np.load(path, allow_pickle=False) as archive:
                self.read[path.name] = {key: archive[key] for key in archive.files}
        return self.read[path.name]

    def verified(self, name: str) -> Path:
        """The file of a domain.

        Raises:
            InputError: it is not there, or another.
        """
        path = self.files(name)[0]
        if path in self.sound:
            return path
        origin = self.origins[path.name]
        expected = f"{path.name} ({origin.size} bytes, sha256 {origin.sha256}): {origin.what}"
        if not path.is_file():
            raise InputError(
                f"{path} is not there; put it in place: {expected}; already have it? point "
                f"dataset.data_dir or DA_DATA at the folder that holds {self.folder}/"
            )
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != origin.sha256:
            raise InputError(
                f"{path} is damaged or another file ({path.stat().st_size} bytes, sha256 "
                f"{found}); fetch it again: {expected}"
            )
        self.sound.add(path)
        return path
