"""Tables: a row for each sample, a column of labels, a column of domains."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Unpack

import numpy as np

from da_framework.core.damage import explain_damage, file_size
from da_framework.core.errors import InputError, listed
from da_framework.core.room import require_memory
from da_framework.core.types import External
from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.custom import Discovered


class Table(Discovered):
    """Rows of a CSV, JSONL or Parquet file, or of a folder with a file for each domain.

    All columns but label, domain and those left out are features and must be numbers.

    Args:
        root: a file with a column that names the domain, or a folder of ``<domain>.csv``.
        label: the column of the classes.
        domain: the column of the domains; of no meaning where the files are the domains.
        drop: columns that are no features.
        standardize: brings every feature to mean 0 and deviation 1 of the sources' rows (of the
            target's, where no source has as many columns).
    """

    layout = (
        "a folder of <domain>.csv, or dataset.root=FILE.csv, whose column dataset.domain names it"
    )

    def __init__(
        self,
        *,
        root: Annotated[str, External()],
        label: str,
        domain: str,
        drop: list[str],
        standardize: bool,
        **roles: Unpack[Roles],
    ) -> None:
        self.label = label
        self.domain = domain
        self.drop = drop
        self.standardize = standardize
        super().__init__(root=root, **roles)

    def discover(self) -> Iterable[str]:
        if self.root.is_dir():
            return [
                file_stem(path)
                for path in sorted(self.root.iterdir())
                if file_ending(path) in READERS
            ]
        return sorted(set(self._column(self.root, self.domain).astype(str)))

    def files(self, name: str) -> Sequence[Path]:
        if self.root.is_file():
            return [self.root]
        paths = sorted(path for path in self.root.iterdir() if file_ending(path) in READERS)
        return [path for path in paths if file_stem(path) == name]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted(set(self._rows(name)[self.label].astype(str)))

    def load(self, name: str) -> Domain:
        x = self._features(name)
        if self.standardize:
            mean, std = self._scale(x)
            x = (x - mean) / std
        y = self.encode_labels(self._rows(name)[self.label].astype(str).to_numpy())
        return Domain(x.astype(np.float32), y)

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = super().inputs(name)
        inputs["columns"] = [str(column) for column in self._feature_columns(name).columns]
        if self.standardize:
            mean, std = self._scale(self._features(name))
            inputs |= {"mean": mean.tolist(), "std": std.tolist()}
        return inputs

    def _scale(self, x: Array) -> tuple[Array, Array]:
        """Mean and deviation by which features of these columns are standardized."""
        fitted = self._rows_to_fit(x)
        return fitted.mean(0), np.maximum(fitted.std(0), 1e-12)

    def _rows_to_fit(self, x: Array) -> Array:
        """The sources' rows of as many columns; else the target's, else these."""
        sides = [[self._features(name) for name in side] for side in (self.source, self.target)]
        alike = ([rows for rows in side if rows.shape[1] == x.shape[1]] for side in sides)
        return np.concatenate(next(filter(None, alike), [x]))

    def _rows(self, name: str) -> Any:
        file = self.files(name)[0]
        self._column(file, self.label)
        rows = self._table(file)
        return (
            rows[self._column(file, self.domain).astype(str) == name]
            if self.root.is_file()
            else rows
        )

    def _column(self, file: Path, column: str) -> Any:
        rows = self._table(file)
        if column not in rows.columns:
            raise InputError(f"{file} has no column {column!r}; it has {listed(rows.columns)}")
        return rows[column]

    def _table(self, file: Path) -> Any:
        return self.read_once(str(file), lambda: read_table(file))

    def _features(self, name: str) -> Any:
        return self._feature_columns(name).to_numpy(dtype=np.float64)

    def _feature_columns(self, name: str) -> Any:
        rows = self._rows(name).drop(columns=[self.label, self.domain, *self.drop], errors="ignore")
        return check_numeric(rows, self.files(name)[0])


READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".parquet": ("read_parquet", {}),
    ".jsonl": ("read_json", {"lines": True}),
}
"""The function of pandas that reads a file, and its keywords, by the file's ending."""


def file_stem(file: Path) -> str:
    """A file's name without its endings."""
    return Path(file.name.removesuffix(".gz")).stem


def file_ending(file: Path) -> str:
    """A file's ending, packed or not."""
    return Path(file.name.removesuffix(".gz")).suffix


def check_numeric(rows: Any, file: Path) -> Any:
    """The same frame, which has numbers alone.

    Raises:
        InputError: it does not; says which columns.
    """
    others = [column for column, kind in rows.dtypes.items() if kind.kind not in "biuf"]
    if others or not len(rows.columns):
        raise InputError(
            f"{file}: the columns {listed(others)} are not numbers; "
            f"leave them out: dataset.drop={others}".replace("'", "")
        )
    return rows


def read_table(file: Path) -> Any:
    """Reads a file as a frame.

    Raises:
        InputError: it cannot be read.
    """
    import pandas as pd

    if file_ending(file) not in READERS:
        raise InputError(f"{file}: files that end in {listed(READERS)} are read")
    reader, keys = READERS[file_ending(file)]
    require_memory(
        2 * unpacked_size(file), f"{file}, read as numbers", mend="fewer rows or columns"
    )
    with explain_damage(file, "table", mend="mend it, or write it anew"):
        return getattr(pd, reader)(file, **keys)


def unpacked_size(file: Path) -> int:
    """The bytes of a table, unpacked; of a ``.gz`` as it says itself.

    Raises:
        InputError: it is no file.
    """
    size = file_size(file, "table")
    if file.suffix != ".gz" or size < 4:
        return size
    with file.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return max(size, int.from_bytes(stream.read(4), "little"))
