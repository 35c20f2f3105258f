"""Published data sets whose files must be put in place by hand: known by size and hash."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from da_framework.core.errors import InputError
from da_framework.core.files import file_sha256
from da_framework.core.types import External, Irrelevant
from da_framework.datasets.base import Array, Dataset


class PublishedFile(NamedTuple):
    """A file as published, known by its size and hash.

    Attributes:
        size: in bytes.
        sha256: of the file.
        what: its content and where it comes from.
    """

    size: int
    sha256: str
    what: str

    def describe(self, name: str) -> str:
        """All that is known of the file, for a message."""
        return f"{name} ({self.size} bytes, sha256 {self.sha256}): {self.what}"


class Published(Dataset):
    """A data set in ``<data_dir>/<folder>``.

    Args:
        data_dir: the folder that holds the data set's own.
        others: keys of another base class, and the roles.
    """

    folder: ClassVar[str]
    origins: ClassVar[Mapping[str, PublishedFile]]
    """Its files by name."""

    def __init__(
        self, *, data_dir: Annotated[str, Irrelevant(), External()], **others: Any
    ) -> None:
        self.place = Path(data_dir).expanduser().absolute() / self.folder
        self._arrays: dict[str, dict[str, Array]] = {}
        self._verified: set[Path] = set()
        super().__init__(**others)

    @abstractmethod
    def file(self, name: str) -> str:
        """The name of the file that a domain is in."""

    def files(self, name: str) -> Sequence[Path]:
        return [self.place / self.file(name)]

    def fingerprint(self, name: str) -> str:
        self.verify_file(name)
        return super().fingerprint(name)

    def load_arrays(self, name: str) -> Mapping[str, Any]:
        """The arrays in a domain's file, which is verified first."""
        path = self.verify_file(name)
        if path.name not in self._arrays:
            with np.load(path, allow_pickle=False) as archive:
                self._arrays[path.name] = {key: archive[key] for key in archive.files}
        return self._arrays[path.name]

    def verify_file(self, name: str) -> Path:
        """A domain's file, which has the published hash.

        Raises:
            InputError: it is not there, or another.
        """
        path = self.files(name)[0]
        if path in self._verified:
            return path
        published = self.origins[path.name]
        expected = published.describe(path.name)
        if not path.is_file():
            raise InputError(
                f"{path} is not there; put it in place: {expected}; already have it? point "
                f"dataset.data_dir or DA_DATA at the folder that holds {self.folder}/"
            )
        sha256 = file_sha256(path)
        if sha256 != published.sha256:
            raise InputError(
                f"{path} is damaged or another file ({path.stat().st_size} bytes, sha256 "
                f"{sha256}); fetch it again: {expected}"
            )
        self._verified.add(path)
        return path
