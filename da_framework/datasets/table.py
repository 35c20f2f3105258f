"""Tables: a row a sample, a column its label, a column its domain."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed, one_line
from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.custom import Discovered


class Table(Discovered):
    """Rows of a CSV or Parquet file, or of a file a domain in a folder.

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
        root: str,
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
            return [stem(path) for path in sorted(self.root.iterdir()) if ending(path) in READERS]
        return sorted(set(self._column(self.root, self.domain).astype(str)))

    def files(self, name: str) -> Sequence[Path]:
        if self.root.is_file():
            return [self.root]
        found = sorted(path for path in self.root.iterdir() if ending(path) in READERS)
        return [path for path in found if stem(path) == name]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted(set(self._rows(name)[self.label].astype(str)))

    def load(self, name: str) -> Domain:
        x = self._features(name)
        if self.standardize:
            mean, std = self._scale(x)
            x = (x - mean) / std
        y = self.labels(self._rows(name)[self.label].astype(str).to_numpy())
        return Domain(x.astype(np.float32), y)

    def inputs(self, name: str) -> dict[str, Any]:
        found = super().inputs(name) | {
            "columns": [str(own) for own in self._numbers(name).columns]
        }
        if self.standardize:
            mean, std = self._scale(self._features(name))
            found |= {"mean": mean.tolist(), "std": std.tolist()}
        return found

    def _scale(self, x: Array) -> tuple[Array, Array]:
        known = self._usual(x)
        return known.mean(0), np.maximum(known.std(0), 1e-12)

    def _usual(self, x: Array) -> Array:
        sides = [[self._features(one) for one in side] for side in (self.source, self.target)]
        alike = ([own for own in side if own.shape[1] == x.shape[1]] for side in sides)
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
        return self.once(str(file), lambda: table(file))

    def _features(self, name: str) -> Any:
        return self._numbers(name).to_numpy(dtype=np.float64)

    def _numbers(self, name: str) -> Any:
        rows = self._rows(name).drop(columns=[self.label, self.domain, *self.drop], errors="ignore")
        return numeric(rows, self.files(name)[0])


READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".parquet": ("read_parquet", {}),
    ".jsonl": ("read_json", {"lines": True}),
}
"""What pandas reads a file with, by its ending."""


def stem(file: Path) -> str:
    """A file's name without its endings."""
    return Path(file.name.removesuffix(".gz")).stem


def ending(file: Path) -> str:
    """A file's ending, packed or not."""
    return Path(file.name.removesuffix(".gz")).suffix


def numeric(rows: Any, file: Path) -> Any:
    """The same frame, if it is of numbers alone.

    Raises:
        InputError: it is not; says which columns.
    """
    words = [column for column, kind in rows.dtypes.items() if kind.kind not in "biuf"]
    if words or not len(rows.columns):
        raise InputError(
            f"{file}: the columns {listed(words)} are not numbers; "
            f"leave them out: dataset.drop={words}".replace("'", "")
        )
    return rows


def table(file: Path) -> Any:
    """A file as a frame.

    Raises:
        InputError: it cannot be read.
    """
    import pandas as pd

    if ending(file) not in READERS:
        raise InputError(f"{file}: files that end in {listed(READERS)} are read")
    reader, keys = READERS[ending(file)]
    try:
        return getattr(pd, reader)(file, **keys)
    except (OSError, ValueError, EOFError, ImportError) as error:
        raise InputError(f"{file} cannot be read: {one_line(error)}") from None
