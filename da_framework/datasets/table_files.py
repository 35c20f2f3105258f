"""Files of tables, from CSV to Excel, as frames that know their lines."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from da_framework.core.damage import explain_damage, file_size
from da_framework.core.errors import InputError, listed
from da_framework.core.room import require_memory

log = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
"""What a line of a text file may be separated by; the first wins where several do as well."""
DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?\s*")
"""A number whose fraction begins with a comma."""
MISSING_VALUES = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "None", "<NA>")
"""Texts that mean that nothing is known, where ``dataset.missing_values`` names no others."""


class TableFormat(NamedTuple):
    """How text files of tables are written; ``None``: as the file shows.

    Attributes:
        separator: between the columns of a line.
        encoding: of the characters.
        decimal: the sign before the fraction of a number.
        missing_values: texts that mean that nothing is known.
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing_values: tuple[str, ...] = MISSING_VALUES


def read_table(
    file: Path,
    table_format: TableFormat = TableFormat(),  # noqa: B008
    *,
    names: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Any:
    """Reads a file as a frame, whose index is the lines of the file, or the rows, from 1.

    Args:
        file: to read.
        table_format: of text files.
        names: columns whose values are names, whatever they look like: ``NA`` is one.
        texts: columns of texts, some of which may be missing.

    Raises:
        InputError: it cannot be read.
    """
    ending = file_ending(file)
    if ending not in READERS:
        raise InputError(f"{file}: files that end in {listed(READERS)} are read")
    size = f"{file}, read as numbers"
    require_memory(2 * unpacked_size(file), size, mend="fewer rows or columns")
    with explain_damage(file, "table", mend="mend it, or write it anew"):
        rows = READERS[ending](file, table_format, names, texts)
    rows.columns = [str(column) for column in rows.columns]
    if doubled := sorted({c for c in rows.columns if (rows.columns == c).sum() > 1}):
        raise InputError(f"{file} has the column {listed(doubled)} more than once")
    return rows


def read_csv(
    file: Path, table_format: TableFormat, names: Sequence[str], texts: Sequence[str]
) -> Any:
    """Reads text that is separated, its separator, encoding and decimal sign found or given."""
    import pandas as pd

    encoding = table_format.encoding or find_encoding(file)
    with open_text(file, encoding) as stream:
        first = stream.readline()
    separator = table_format.separator or find_separator(first, file_ending(file))
    keys: dict[str, Any] = {"sep": separator, "encoding": encoding, "skip_blank_lines": False}
    header = pd.read_csv(file, nrows=0, **keys).columns
    marks = list(table_format.missing_values)
    keys |= {
        "keep_default_na": False,
        "na_values": {column: marks for column in header if column not in names},
        "dtype": dict.fromkeys([c for c in header if c in names or c in texts], str),
        "low_memory": False,
    }
    decimal = table_format.decimal or "."
    rows = pd.read_csv(file, decimal=decimal, **keys)
    if table_format.decimal is None and separator != "," and any(decimal_commas(rows, keys)):
        decimal = ","
        rows = pd.read_csv(file, decimal=decimal, **keys)
    if isinstance(rows.index, pd.MultiIndex) or rows.index.dtype.kind not in "iu":
        raise InputError(f"{file} cannot be read: its lines have more columns than the first")
    if (encoding, separator, decimal) not in {("utf-8", ",", "."), ("utf-8", "\t", ".")}:
        log.info(
            "%s: encoding %s, separator %r, decimal sign %r", file, encoding, separator, decimal
        )
    rows.index = line_numbers(rows)
    blank = rows.isna() | rows.eq("")
    return rows[~blank.all(axis=1)]


def find_encoding(file: Path) -> str:
    """UTF-8 if it is that, UTF-16 if its first bytes say so, else the one of Windows."""
    with open_bytes(file) as stream:
        content = stream.read()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in content:
        raise InputError(f"{file} cannot be read: it is no text")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def open_bytes(file: Path) -> Any:
    """Opens a file to read its bytes, unpacked."""
    import gzip

    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def unpacked(file: Path) -> Any:
    """A file that is not text, or its content where it is packed."""
    import io

    if file.suffix != ".gz":
        return file
    with open_bytes(file) as stream:
        return io.BytesIO(stream.read())


def open_text(file: Path, encoding: str) -> Any:
    """Opens a file to read its text, unpacked."""
    import io

    return io.TextIOWrapper(open_bytes(file), encoding=encoding)


def find_separator(line: str, ending: str) -> str:
    """What most columns of a file's first line are separated by."""
    bare = re.sub(r'"[^"]*"', "", line)
    candidates = "\t" if ending == ".tsv" and "\t" in bare else SEPARATORS
    return max(candidates, key=bare.count)


def decimal_commas(rows: Any, keys: dict[str, Any]) -> Iterator[bool]:
    """Whether columns hold numbers that are written with a comma alone."""
    for column in rows.columns:
        if column in keys["dtype"] or is_numeric(rows[column]):
            continue
        values = rows[column].dropna().astype(str)
        yield len(values) > 0 and bool(values.map(DECIMAL_COMMA.fullmatch).notna().all())


def line_numbers(rows: Any) -> Any:
    """The line of a text file that every row begins in; cells may hold several lines."""
    import numpy as np

    breaks = np.zeros(len(rows), dtype=np.int64)
    for column in rows.columns:
        if not is_numeric(rows[column]):
            texts = rows[column].fillna("").astype(str)
            breaks += texts.str.count("\n").to_numpy(dtype=np.int64)
    head = sum(str(column).count("\n") for column in rows.columns)
    return (
        2 + head + np.arange(len(rows)) + np.concatenate([[0], breaks[:-1].cumsum()])[: len(rows)]
    )


def read_json_lines(
    file: Path, table_format: TableFormat, names: Sequence[str], texts: Sequence[str]
) -> Any:
    """Reads an object a line."""
    return read_json(file, table_format, names, texts, lines=True)


def read_json(
    file: Path,
    table_format: TableFormat,
    names: Sequence[str],
    texts: Sequence[str],
    *,
    lines: bool = False,
) -> Any:
    """Reads a list of objects, or one in each line; values keep the types that they have there."""
    import json

    import pandas as pd

    with open_bytes(file) as stream:
        text = stream.read().decode("utf-8-sig")
    numbered = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    records = [json.loads(line) for _, line in numbered] if lines else json.loads(text)
    if isinstance(records, dict):  # a list for each column
        return from_row_one(pd.DataFrame(records), table_format, names)
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("needed are objects, with a value for each column")
    rows = from_row_one(pd.DataFrame(records), table_format, names)
    if lines:
        rows.index = [number for number, _ in numbered]
    return rows


def read_parquet(
    file: Path, table_format: TableFormat, names: Sequence[str], texts: Sequence[str]
) -> Any:
    """Reads Parquet."""
    import pandas as pd

    with explain_import(file, "Parquet", "pyarrow", "parquet"):
        rows = pd.read_parquet(unpacked(file))
    return from_row_one(rows, table_format, names)


def read_excel(
    file: Path, table_format: TableFormat, names: Sequence[str], texts: Sequence[str]
) -> Any:
    """Reads the first sheet of an Excel file."""
    import pandas as pd

    with explain_import(file, "Excel", "openpyxl", "excel"):
        rows = pd.read_excel(unpacked(file), keep_default_na=False, na_values=[])
    rows = from_row_one(rows, table_format, names)
    rows.index = rows.index + 1  # the sheet's own numbers, which count its head
    return rows.infer_objects()


@contextmanager
def explain_import(file: Path, kind: str, package: str, extra: str) -> Iterator[None]:
    """Says how to install what reads files of a kind, where it is not there."""
    try:
        yield
    except ImportError:
        install = f"pip install 'da_framework[{extra}]'"
        raise InputError(f"{file}: {kind} files need {package}: {install}") from None


def from_row_one(rows: Any, table_format: TableFormat, names: Sequence[str]) -> Any:
    """Numbers rows from 1, and reads texts that mean that nothing is known."""
    rows = rows.reset_index(drop=True)
    rows.index = rows.index + 1
    for column in rows.columns:
        if rows[column].dtype == object:
            rows[column] = rows[column].map(text_of_nested)
        if not is_numeric(rows[column]) and column not in names:
            known = ~rows[column].isin(table_format.missing_values)
            if not known.all():
                rows[column] = rows[column].astype(object).where(known, None).infer_objects()
    return rows


def text_of_nested(value: Any) -> Any:
    """A cell as it is; lists and what else holds several values, as texts."""
    return value if isinstance(value, str) or not hasattr(value, "__len__") else str(value)


def is_numeric(column: Any) -> bool:
    """Whether a column holds numbers or booleans alone, some of which may be missing."""
    return bool(column.dtype.kind in "biuf")


Reader = Callable[[Path, TableFormat, Sequence[str], Sequence[str]], Any]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
    ".json": read_json,
    ".xlsx": read_excel,
}
"""What reads a file, by its ending."""


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


def file_stem(file: Path) -> str:
    """A file's name without its endings."""
    return Path(file.name.removesuffix(".gz")).stem


def file_ending(file: Path) -> str:
    """A file's ending in small letters, packed or not."""
    return Path(file.name.lower().removesuffix(".gz")).suffix
