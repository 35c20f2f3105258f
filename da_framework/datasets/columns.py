"""Columns of tables as features: categories, dates, missing values and scales, fitted once.

What was fitted is numbers and names alone (``Preparation``), so that it stands in the record of a
run and new rows are prepared as the run's were; scikit-learn's transformers are made of it anew.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.quoting import override
from da_framework.datasets.base import Array
from da_framework.datasets.table_files import DECIMAL_COMMA, is_numeric

log = logging.getLogger(__name__)

Missing = Literal["error", "mean", "median", "indicator"]
CategoryEncoding = Literal["one_hot", "ordinal"]
Scale = Literal["source", "domain", "none"]

DATE = re.compile(r"[^\W\d]|\d[-/.:]\d+[-/.:]\d")
"""What a date has and no number does: letters, or three numbers."""
SHOWN = 5
"""Columns, or values, that a message names."""
MOSTLY = 0.9
"""Share of a column's values that are numbers, from which the others are taken for slips."""


class Preparation(TypedDict):
    """What was fitted to rows, as it stands in a record.

    Attributes:
        missing: what becomes of a missing number.
        fill: the number that takes its place, for every feature; empty where it is an error.
        indicators: features of which one more says whether they were missing.
        categories: values of the columns of categories; missing ones are the empty text.
        category_encoding: a feature for each of them, or their position.
        dates: columns of dates, which become days since 1970.
    """

    missing: Missing
    fill: list[float]
    indicators: list[int]
    categories: dict[str, list[str]]
    category_encoding: CategoryEncoding
    dates: list[str]


class Encoded(NamedTuple):
    """Columns as numbers, some of which may be missing (NaN).

    Attributes:
        x: rows and features.
        names: of the features.
        unseen: how many values of a column of categories the fitted rows do not have.
    """

    x: Array
    names: list[str]
    unseen: dict[str, int]


class ColumnKeys(NamedTuple):
    """The keys of a table that say what its columns are.

    Attributes:
        categories: columns whose values are names.
        category_encoding: how these become numbers.
        dates: columns of dates.
        drop: columns that are no features.
        missing: what becomes of missing values.
    """

    categories: tuple[str, ...] = ()
    category_encoding: CategoryEncoding = "one_hot"
    dates: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: Missing = "error"


def fit_preparation(rows: Any, keys: ColumnKeys, place: Callable[[Any], str]) -> Preparation:
    """Learns categories, and the numbers that take the place of missing ones.

    Args:
        rows: a frame of the feature columns.
        keys: what they are.
        place: says where a row stands, by its index.

    Raises:
        InputError: a column is neither numbers nor what the keys say.
    """
    fitted: Preparation = {
        "missing": keys.missing,
        "fill": [],
        "indicators": [],
        "categories": {
            column: sorted(set(as_texts(rows[column])))
            for column in rows.columns
            if column in keys.categories
        },
        "category_encoding": keys.category_encoding,
        "dates": [column for column in rows.columns if column in keys.dates],
    }
    x = encode(rows, fitted, place, keys).x
    if keys.missing == "error":
        return fitted
    refuse_missing(rows, fitted, place)
    from sklearn.impute import MissingIndicator, SimpleImputer

    strategy = "median" if keys.missing == "median" else "mean"
    imputer = SimpleImputer(strategy=strategy, keep_empty_features=True).fit(x)
    fitted["fill"] = imputer.statistics_.tolist()
    if keys.missing == "indicator" and np.isnan(x).any():
        fitted["indicators"] = MissingIndicator().fit(x).features_.tolist()
    return fitted


def encode(
    rows: Any, fitted: Preparation, place: Callable[[Any], str], keys: ColumnKeys | None = None
) -> Encoded:
    """Columns as numbers: categories and dates too.

    Raises:
        InputError: a column cannot be one.
    """
    refuse_texts(rows, fitted, place, keys)
    parts, names, unseen = [], [], {}
    for column in rows.columns:
        values = rows[column]
        if column in fitted["categories"]:
            known = fitted["categories"][column]
            texts = np.array(as_texts(values), dtype=object)
            part = encode_categories(texts, known, fitted["category_encoding"])
            unseen[column] = int((~np.isin(texts.astype(str), known)).sum())
            one_hot = fitted["category_encoding"] == "one_hot"
            names += [f"{column}={value}" for value in known] if one_hot else [column]
        else:
            part = (as_days(values) if column in fitted["dates"] else as_numbers(values))[:, None]
            names.append(column)
        parts.append(part)
    x = np.concatenate(parts, axis=1) if parts else np.empty((len(rows), 0))
    return Encoded(x, names, {column: count for column, count in unseen.items() if count})


def encode_categories(texts: Array, known: Sequence[str], encoding: CategoryEncoding) -> Array:
    """Categories as numbers: those that are not known are zeros, or -1 as a position."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    values = [np.array(known, dtype=object)]
    encoder: Any
    if encoding == "one_hot":
        encoder = OneHotEncoder(categories=values, handle_unknown="ignore", sparse_output=False)
    else:
        encoder = OrdinalEncoder(
            categories=values, handle_unknown="use_encoded_value", unknown_value=-1
        )
    if not known:
        return np.empty((len(texts), 0)) if encoding == "one_hot" else -np.ones((len(texts), 1))
    encoder.fit(values[0][:, None])
    encoded: Array = encoder.transform(texts[:, None])
    return encoded


def complete(x: Array, fitted: Preparation | Mapping[str, Any]) -> Array:
    """Fills what is missing, and appends the features that say so."""
    if not fitted["fill"]:
        return x
    from sklearn.impute import SimpleImputer

    # a mean of one row is that row: the numbers that were fitted
    imputer = SimpleImputer(keep_empty_features=True).fit(np.array(fitted["fill"])[None])
    flags = np.isnan(x[:, fitted["indicators"]]).astype(np.float64)
    return np.concatenate([imputer.transform(x), flags], axis=1)


def as_numbers(values: Any) -> Array:
    """A column of numbers and booleans as floats, NaN where they are missing."""
    import pandas as pd

    if not is_numeric(values):
        values = pd.to_numeric(values.astype(object), errors="coerce")
    numbers: Array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def as_days(values: Any) -> Array:
    """A column of dates as days since 1970."""
    import pandas as pd

    dates = pd.to_datetime(values, errors="coerce", utc=True, format="mixed")
    known = dates.notna().to_numpy()
    days = np.full(len(dates), np.nan)
    # by microseconds: nanoseconds end in 2262
    days[known] = dates[known].dt.as_unit("us").astype("int64") / 86400e6
    return days


def as_texts(values: Any) -> list[str]:
    """A column of categories as texts: 1 and 1.0 are the same, and what is missing is empty."""
    known = values.notna()
    return [as_text(value) if there else "" for value, there in zip(values, known, strict=True)]


def as_text(value: Any) -> str:
    """A category as a text."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)


def refuse_texts(
    rows: Any, fitted: Preparation, place: Callable[[Any], str], given: ColumnKeys | None
) -> None:
    """Raises where a column is neither numbers nor what it is called.

    Raises:
        InputError: says of every such column what it seems to be, and the keys that say so.
    """
    keys = given or ColumnKeys()
    drop: list[str] = [*keys.drop]
    categories, dates = [*keys.categories], [*keys.dates]
    marks: list[str] = []
    decimal: list[str] = []
    problems = []
    for column in rows.columns:
        if column in fitted["categories"] or is_numeric(rows[column]):
            continue
        values = rows[column].dropna()
        if column in fitted["dates"]:
            wrong = values[np.isnan(as_days(values))]
            if len(wrong):
                problems.append(
                    f"{column} is no date in {place(wrong.index[0])}: {wrong.iloc[0]!r}"
                )
            continue
        wrong = values[np.isnan(as_numbers(values))]
        if not len(wrong):
            continue
        if len(wrong) < (1 - MOSTLY) * len(values) or len(wrong) == 1 < len(values):
            texts = sorted({str(value) for value in wrong})
            marks += texts
            problems.append(
                f"{column} is numbers but for {len(wrong)} values, the first in "
                f"{place(wrong.index[0])}: {listed([repr(text) for text in texts[:SHOWN]])}"
            )
        elif all(DECIMAL_COMMA.fullmatch(str(value)) for value in values):
            decimal = [override("dataset.decimal", ",")]
            problems.append(f"{column} is numbers with commas")
        elif all(map(DATE.search, map(str, values))) and not np.isnan(as_days(values)).any():
            dates.append(column)
            problems.append(f"{column} is dates")
        elif values.nunique() == len(values) > 1:
            drop.append(column)
            problems.append(f"{column} is {len(values)} different texts")
        else:
            categories.append(column)
            problems.append(f"{column} is texts, {values.nunique()} different ones")
    if not problems:
        return
    file = place(rows.index[0]).rpartition(", ")[0]
    before = {"drop": keys.drop, "categories": keys.categories, "dates": keys.dates}
    now = {"drop": drop, "categories": categories, "dates": dates}
    way = [override(f"dataset.{key}", now[key]) for key in now if len(now[key]) > len(before[key])]
    way += decimal
    if marks:
        every = ["", *dict.fromkeys(marks)]
        way.append(f"{override('dataset.missing_values', every)} if that means not known")
    hint = f"; to read it so: {' '.join(way)}" if way and given else ""
    raise InputError(f"{file}: not all columns are numbers: {'; '.join(problems)}{hint}")


def refuse_missing(
    rows: Any,
    fitted: Preparation,
    place: Callable[[Any], str],
    way: str = "dataset.missing=mean, median or indicator fills them, by the source's rows",
) -> None:
    """Raises where a number is infinite, or a value is missing and nothing takes its place.

    Args:
        rows: a frame of the feature columns.
        fitted: says what becomes of missing values.
        place: says where a row stands, by its index.
        way: out of it.

    Raises:
        InputError: with file, column, line and count.
    """
    infinite, missing = unusable_cells(rows, fitted)
    if cells := describe_cells(rows, infinite, place):
        raise InputError(f"values are infinite: {'; '.join(cells)}")
    if fitted["missing"] == "error" and (cells := describe_cells(rows, missing, place)):
        raise InputError(f"values are missing: {'; '.join(cells)}; {way}")


def unusable_cells(rows: Any, fitted: Preparation) -> tuple[Array, Array]:
    """Marks cells that are infinite, and those that are missing."""
    infinite, missing = np.zeros((2, *rows.shape), dtype=bool)
    for i, column in enumerate(rows.columns):
        if column in fitted["categories"]:
            missing[:, i] = rows[column].isna()
            continue
        read = as_days if column in fitted["dates"] else as_numbers
        numbers = read(rows[column])
        infinite[:, i], missing[:, i] = np.isinf(numbers), np.isnan(numbers)
    return infinite, missing


def describe_cells(rows: Any, bad: Array, place: Callable[[Any], str]) -> list[str]:
    """The columns that have such cells: how many, and where the first one is."""
    cells = [
        f"column {name}, {place(rows.index[int(bad[:, i].argmax())])}"
        + (f" and {count - 1} more" if (count := int(bad[:, i].sum())) > 1 else "")
        for i, name in enumerate(rows.columns)
        if bad[:, i].any()
    ]
    return cells[:SHOWN] + [f"{len(cells) - SHOWN} more columns"] * (len(cells) > SHOWN)


def fit_scale(x: Array) -> tuple[Array, Array]:
    """Mean and deviation of every feature; what is constant has the deviation 1."""
    mean, deviation = x.mean(0), x.std(0)
    noise = 10 * np.finfo(np.float64).eps * np.abs(mean)
    constant = (x == x[:1]).all(0) | (deviation <= noise)
    return np.where(constant, x[0], mean), np.where(constant, 1.0, deviation)


def former_scale(
    key: Scale, source: Sequence[str], former: Mapping[str, Any]
) -> tuple[Scale, tuple[Array, Array] | None]:
    """What scales samples: what the key says; without a source, what it was in a former run.

    Args:
        key: ``dataset.scale``.
        source: names of the sources.
        former: what the former run knew of its samples.

    Returns:
        What is fitted to, and the mean and deviation, where the former run's are meant.
    """
    if key != "source" or source:
        return key, None
    if not former:
        return "domain", None
    kind: Scale = former.get("scale", "source" if "mean" in former else "none")
    if kind != "source" or "mean" not in former:
        return kind, None
    return kind, (np.array(former["mean"]), np.array(former["std"]))


def scale(x: Array, inputs: Mapping[str, Any]) -> Array:
    """Brings features to the scale that a run knows, if it knows one."""
    if "mean" not in inputs:
        return x
    scaled: Array = (x - np.array(inputs["mean"])) / np.array(inputs["std"])
    return scaled


def constant_features(x: Array, names: Iterable[str]) -> list[str]:
    """Names of the features that are the same in every row."""
    constant = (x == x[:1]).all(0)
    return [name for name, same in zip(names, constant, strict=True) if same]


def index_columns(rows: Any) -> list[str]:
    """Names of the columns that only number the rows."""
    return [
        column
        for column in rows.columns
        if len(rows) > 2
        and rows[column].dtype.kind in "iu"
        and bool((rows[column].diff().iloc[1:] == 1).all())
    ]


def refuse_unknown_columns(
    key: str, given: Iterable[str], there: Sequence[str], where: str
) -> None:
    """Raises where a key names a column that no file has.

    Raises:
        InputError: with the nearest one.
    """
    for column in given:
        if column not in there:
            near = get_close_matches(column, there, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it has {listed(there)}"
            raise InputError(f"{key}: {where} has no column {column!r}; {hint}")
