"""Tables: a row for each sample, a column of labels, a column of domains."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.quoting import override
from da_framework.core.types import External
from da_framework.datasets.base import Array, Domain, Roles, SampleReport, hash_values
from da_framework.datasets.columns import (
    CategoryEncoding,
    ColumnKeys,
    Encoded,
    Missing,
    Preparation,
    Scale,
    as_texts,
    complete,
    constant_features,
    encode,
    fit_preparation,
    fit_scale,
    former_scale,
    index_columns,
    refuse_missing,
    refuse_unknown_columns,
    unusable_cells,
)
from da_framework.datasets.custom import Discovered, Labels, is_hidden, label_names
from da_framework.datasets.table_files import (
    MISSING_VALUES,
    READERS,
    TableFormat,
    file_ending,
    file_stem,
    read_table,
)

log = logging.getLogger(__name__)


class Table(Discovered):
    """Rows of CSV, TSV, JSON, Parquet or Excel files: one file, or a file or folder a domain.

    All columns but label, domain and those left out are features: numbers, or what ``categories``
    and ``dates`` name. A row without a label is not labelled, as are all of a target without that
    column.

    Args:
        root: a file with a column that names the domain, or a folder with ``<domain>.csv``, or a
            folder of files, for each domain.
        label: the column of the classes.
        domain: the column of the domains; of no meaning where the files are the domains.
        drop: columns that are no features.
        categories: columns whose values are names; the sources' are learnt.
        category_encoding: ``one_hot`` makes a feature of each name, ``ordinal`` its position.
        dates: columns of dates, which become days since 1970.
        missing: a missing value is an ``error``, or becomes the ``mean`` or the ``median`` of the
            sources; ``indicator`` is the mean, and one feature more that says so.
        missing_values: texts that mean that nothing is known; ``None``: the usual ones.
        columns: ``same`` matches the domains' columns by name, and needs all; ``shared`` reads
            those that all domains have; ``own`` those that each has, for networks with adapters.
        scale: brings every feature to mean 0 and deviation 1 of the ``source``'s rows, or of those
            of each ``domain``; ``none`` leaves it.
        separator, encoding, decimal: of text files; ``None``: as the file shows.
    """

    kind = "table"
    layout = (
        "a folder of <domain>.csv, or of folders <domain> with files, or dataset.root=FILE.csv, "
        "whose column dataset.domain names it"
    )

    def __init__(
        self,
        *,
        root: Annotated[str, External()],
        label: str,
        domain: str,
        drop: list[str],
        scale: Scale,
        columns: Literal["same", "shared", "own"],
        categories: Sequence[str],
        category_encoding: CategoryEncoding,
        dates: Sequence[str],
        missing: Missing,
        missing_values: list[str] | None,
        separator: str | None,
        encoding: str | None,
        decimal: Literal[".", ","] | None,
        **roles: Unpack[Roles],
    ) -> None:
        self.label = label
        self.domain = domain
        self.columns = columns
        self.scale = scale
        self.keys = ColumnKeys(
            tuple(categories), category_encoding, tuple(dates), tuple(drop), missing
        )
        marks = MISSING_VALUES if missing_values is None else tuple(missing_values)
        self.format = TableFormat(separator, encoding, decimal, marks)
        super().__init__(root=root, **roles)
        self._check_columns()

    # files

    def discover(self) -> Iterable[str]:
        if self.root.is_dir():
            return dict.fromkeys(name for name, _ in self._domain_files())
        self._check_domains()
        return sorted(set(self._column(self.root, self.domain)))

    def files(self, name: str) -> Sequence[Path]:
        if self.root.is_file():
            return [self.root]
        return [file for domain, file in self._domain_files() if domain == name]

    def labels(self, name: str) -> Sequence[Labels]:
        rows = self._rows(name)
        if self.label not in rows.columns:
            self._check_label_column(name)
            return [Labels("", [None] * len(rows))]
        given = label_names(rows[self.label].astype(object).where(rows[self.label].notna(), None))
        files = rows.index.get_level_values(0).to_numpy()
        cuts = [0, *(np.flatnonzero(files[1:] != files[:-1]) + 1), len(files)]
        return [
            Labels(files[start], given[start:end]) for start, end in pairwise(cuts) if end > start
        ]

    def place_name(self, name: str, place: int) -> str:
        return place_of_row(self._rows(name).index[place])

    def describe_sample(self, name: str, row: int) -> Mapping[str, str]:
        return describe_row(self._rows(name).iloc[row], without=self.label)

    def hash_sample(self, name: str, row: int) -> str:
        return hash_values(describe_row(self._feature_rows(name).iloc[row], without=None))

    # features

    def load(self, name: str) -> Domain:
        x = self._features(name)
        if (fitted := self._scale(name)) is not None:
            mean, deviation = fitted
            x = (x - mean) / deviation
        self._point_out(name)
        return Domain(x.astype(np.float32), self.encode_labels(name))

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        rows, y = self._feature_rows(name), self.encode_labels(name)
        infinite, missing = unusable_cells(rows, self._preparation(name))
        bad = infinite | missing if self.keys.missing == "error" else infinite

        def report(row: int, _: bool) -> SampleReport:
            cells = ",".join(str(value) for value in rows.iloc[row])
            columns = listed(rows.columns[bad[row]])
            return SampleReport(
                place_of_row(rows.index[row]),
                self.classes[y[row]] if y[row] >= 0 else None,
                None,
                hashlib.sha256(cells.encode()).hexdigest(),
                (rows.shape[1],),
                f"missing or infinite: column {columns}" if bad[row].any() else None,
            )

        return [partial(report, row) for row in range(len(rows))]

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = super().inputs(name)
        preparation, encoded = self._preparation(name), self._encoded(name)
        inputs["columns"] = [str(column) for column in self._feature_rows(name).columns]
        inputs["features"] = encoded.names
        inputs["preparation"] = dict(preparation)
        inputs["scale"], _ = former_scale(self.scale, self.source, self.former)
        if (fitted := self._scale(name)) is not None:
            mean, deviation = fitted
            inputs |= {"mean": mean.tolist(), "std": deviation.tolist()}
        return inputs

    def _features(self, name: str) -> Array:
        return complete(self._encoded(name).x, self._preparation(name))

    def _encoded(self, name: str) -> Encoded:
        def read() -> Encoded:
            rows, preparation = self._feature_rows(name), self._preparation(name)
            encoded = encode(rows, preparation, place_of_row, self.keys)
            refuse_missing(rows, preparation, place_of_row)
            return encoded

        encoded: Encoded = self.read_once(f"features of {name}", read)
        return encoded

    def _preparation(self, name: str) -> Preparation:
        """What was fitted to the rows that this domain's features stand on."""
        if self._is_former(name):
            former: Preparation = self.former["preparation"]
            return former
        fitted = self._fitted_domains(name)

        def fit() -> Preparation:
            import pandas as pd

            rows = pd.concat([self._feature_rows(domain) for domain in fitted])
            return fit_preparation(rows, self.keys, place_of_row)

        preparation: Preparation = self.read_once(f"preparation by {fitted}", fit)
        return preparation

    def _scale(self, name: str) -> tuple[Array, Array] | None:
        """Mean and deviation by which a domain's features are standardized, if they are."""
        former = self.former if self._is_former(name) else {}
        kind, fitted = former_scale(self.scale, self.source, former)
        if kind == "none" or fitted is not None:
            return fitted
        domains = [name] if kind == "domain" else self._fitted_domains(name)
        return fit_scale(np.concatenate([self._features(domain) for domain in domains]))

    def _is_former(self, name: str) -> bool:
        """Whether a domain has the columns of the run that is gone on from."""
        return self.former.get("columns") == self._feature_columns(name)

    def _fitted_domains(self, name: str) -> list[str]:
        """The sources with the same columns; else such targets; else the domain itself."""
        columns = self._feature_columns(name)
        sides = [
            [domain for domain in side if self._feature_columns(domain) == columns]
            for side in (self.source, self.target)
        ]
        return next(filter(None, sides), [name])

    def _feature_rows(self, name: str) -> Any:
        rows = self._rows(name)
        if rows.empty:
            raise InputError(f"{listed(map(str, self.files(name)))}: there are no rows of {name!r}")
        return rows[self._feature_columns(name)]

    def _feature_columns(self, name: str) -> list[str]:
        """The columns of a domain's features, in the order of the first domain in use.

        Where a former run is gone on from, in the order of its own.
        """
        columns = self._other_columns(name)
        first = self.former.get("columns") or self._other_columns(self.domains[0])
        if self.columns == "own":
            return first if self.former and set(first) == set(columns) else columns
        if self.columns == "shared":
            return [c for c in first if all(c in self._other_columns(d) for d in self.domains)]
        if set(first) == set(columns):
            return first
        self._refuse_other_columns(name, first)
        return columns

    def _refuse_other_columns(self, name: str, first: list[str]) -> None:
        columns = self._other_columns(name)
        lacking = [column for column in first if column not in columns]
        extra = [column for column in columns if column not in first]
        differs = [
            f"{does} {listed(which)}"
            for does, which in (("lacks", lacking), ("also has", extra))
            if which
        ]
        way = override("dataset.drop", [*self.keys.drop, *lacking, *extra])
        leave_out = f"{way} leaves them out, " if len(lacking) < len(first) else ""
        others = "the run begun with" if self.former else listed(self.files(self.domains[0]))
        raise InputError(
            f"{listed(self.files(name))}: its columns are not those of {others}: it "
            f"{' and '.join(differs)}; give the same the same names; or {leave_out}"
            "dataset.columns=own takes each domain's as they are"
        )

    def _other_columns(self, name: str) -> list[str]:
        left_out = {self.label, self.domain, *self.keys.drop}
        return [column for column in self._rows(name).columns if column not in left_out]

    # rows

    def _domain_files(self) -> list[tuple[str, Path]]:
        """The files of a folder with the domains that they are of."""
        files = [
            (file_stem(path) if path.parent == self.root else path.parent.name, path)
            for path in sorted([*self.root.glob("*"), *self.root.glob("*/*")])
            if path.is_file() and file_ending(path) in READERS and not is_hidden(path, self.root)
        ]
        flat = {name for name, path in files if path.parent == self.root}
        if both := sorted(flat & {name for name, path in files if path.parent != self.root}):
            raise InputError(
                f"{self.root} holds {listed(both)} as a file and as a folder: remove one of them"
            )
        return files

    def _rows(self, name: str) -> Any:
        """The rows of a domain, indexed by file and line."""
        return self.read_once(f"rows of {name}", lambda: self._read_rows(name))

    def _read_rows(self, name: str) -> Any:
        import pandas as pd

        if self.root.is_file():
            rows = self._table(self.root)
            rows = rows[(self._column(self.root, self.domain) == name).to_numpy()]
            return pd.concat({str(self.root): rows})
        files = self.files(name)
        tables = {str(file): self._table(file) for file in files}
        first = tables[str(files[0])]
        for file, rows in tables.items():
            if different := set(rows.columns) ^ set(first.columns):
                raise InputError(
                    f"{file}: its columns are not those of {files[0]}: {listed(sorted(different))} "
                    "stand in one of them alone"
                )
        return pd.concat({file: rows[first.columns] for file, rows in tables.items()})

    def _table(self, file: Path) -> Any:
        return self.read_once(str(file), lambda: self._read_table(file))

    def _read_table(self, file: Path) -> Any:
        names, texts = [self.label, self.domain, *self.text_columns()], self.keys.categories
        return read_table(file, self.format, names=names, texts=texts)

    def text_columns(self) -> Sequence[str]:
        """Columns that are read as they stand."""
        return ()

    def _column(self, file: Path, column: str) -> Any:
        rows = self._table(file)
        refuse_unknown_columns(
            f"dataset.{self._key_of(column)}={column}", [column], [*rows.columns], str(file)
        )
        return rows[column].astype(object).map(str, na_action="ignore")

    def _key_of(self, column: str) -> str:
        return {self.label: "label", self.domain: "domain"}.get(column, "text")

    # checks

    def _check_domains(self) -> None:
        """Raises where a row of a file of several domains names none."""
        named = self._column(self.root, self.domain)
        lacking = named.isna() | named.eq("")
        if lacking.any():
            raise InputError(
                f"{self.root}: {int(lacking.sum())} rows have no domain in the column "
                f"{self.domain}, the first in line {named.index[lacking.to_numpy()][0]}"
            )

    def _check_label_column(self, name: str) -> None:
        """Raises where no domain at all has the column of labels."""
        every = [self._rows(domain).columns for domain in self.names]
        if not any(self.label in columns for columns in every):
            where = listed(self.files(name))
            refuse_unknown_columns(f"dataset.label={self.label}", [self.label], [*every[0]], where)

    def _check_columns(self) -> None:
        """Raises where a key names a column that no file has."""
        columns = [column for name in self.domains for column in self._rows(name).columns]
        there = list(dict.fromkeys(columns))
        for key in ("drop", "categories", "dates"):
            where = listed(self.files(self.domains[0]))
            refuse_unknown_columns(f"dataset.{key}", getattr(self.keys, key), there, where)
        if not all(self._feature_columns(name) for name in self.domains):
            raise InputError(
                f"{listed(self.files(self.domains[0]))} has no column of features: it has "
                f"{listed(there)}, of which label, domain and what is dropped are none"
            )

    def _point_out(self, name: str) -> None:
        """Logs what of a domain's columns may not be meant."""
        rows, encoded = self._feature_rows(name), self._encoded(name)
        for column in index_columns(rows):
            way = override("dataset.drop", [*self.keys.drop, column])
            log.warning(
                "%s: the column %s numbers the rows, which is no feature: %s", name, column, way
            )
        for column, count in encoded.unseen.items():
            log.warning("%s: %d values of %s are not among the source's", name, count, column)
        constant = constant_features(encoded.x, encoded.names) if name in self.source else []
        if self.scale != "none" and constant:
            log.info("%s: constant, and not scaled: %s", name, listed(constant))


def place_of_row(index: Any) -> str:
    """Where a row of a domain stands, by its index."""
    file, line = index
    kind = "line" if file_ending(Path(file)) in (".csv", ".tsv", ".jsonl") else "row"
    return f"{file}, {kind} {line}"


def describe_row(row: Any, *, without: str | None) -> dict[str, str]:
    """The cells of a row by the names of their columns: what is missing is empty.

    Args:
        row: of a frame.
        without: the column of labels, which is none of them.
    """
    cells = dict(zip(row.index, as_texts(row), strict=True))
    return {column: text for column, text in cells.items() if column != without}
