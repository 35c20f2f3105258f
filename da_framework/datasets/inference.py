"""New samples without labels, read as a trained run read its own."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.pictures import describe_failure
from da_framework.datasets.arrays import (
    Arrays,
    bring_to_length,
    cut_windows,
    map_array,
    mark_end,
    mark_finite_series,
    read_archive,
)
from da_framework.datasets.base import SAMPLES_AT_ONCE, Array, hash_values, mark_finite
from da_framework.datasets.columns import (
    Preparation,
    complete,
    encode,
    refuse_missing,
    scale,
)
from da_framework.datasets.custom import is_hidden
from da_framework.datasets.image_cache import map_threads
from da_framework.datasets.images import (
    IMAGE_ENDINGS,
    ImageDataset,
    crop_middle,
    shorten_list,
)
from da_framework.datasets.table import Table, describe_row, place_of_row
from da_framework.datasets.table_files import (
    MISSING_VALUES,
    READERS,
    TableFormat,
    file_ending,
    read_table,
)
from da_framework.datasets.text import Text, join_columns
from da_framework.datasets.tokenization import token_ids

log = logging.getLogger(__name__)

RUN_KEYS = ("size", "channels", "crop", "shape", "tokenizer", "vocabulary", "length", "scale")
"""Keys that say what a network is given: always those of the run, whatever is read."""

BESIDE = ("y.npy", "test.npy", "length.npy")
"""Files of arrays that say something of the samples in ``x.npy``."""

UNPREPARED: Preparation = {
    "missing": "error",
    "fill": [],
    "indicators": [],
    "categories": {},
    "category_encoding": "one_hot",
    "dates": [],
}
"""How columns were prepared by runs that say nothing of it: all are numbers, none is missing."""


class NewSamples(ABC):
    """Samples in a file, or in the files of a folder at any depth.

    Args:
        root: file or folder.
        inputs: what the run knows of a sample (``Run.inputs``).
        keys: of the data set; those of ``RUN_KEYS`` are the run's.

    Attributes:
        broken: what could not be read, and why.
    """

    endings: tuple[str, ...]
    names: tuple[str, ...] = ("file", "row")
    """What the parts of a sample's name are called."""
    changed: tuple[str, ...] = ()
    """Keys that may differ from those of the run, beside the root."""

    def __init__(self, root: str, inputs: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
        self.root = Path(root).expanduser()
        self.inputs = inputs
        self.keys = keys
        self.shape = tuple(inputs["shape"])
        self.broken: list[str] = []
        if not self.root.exists():
            raise InputError(f"dataset.root={root}: {self.root} is not there")
        paths = sorted(self.root.rglob("*")) if self.root.is_dir() else [self.root]
        self.files = [
            path
            for path in paths
            if path.is_file()
            and file_ending(path).lower() in self.endings
            and not is_hidden(path, self.root if self.root.is_dir() else self.root.parent)
        ]
        if not self.files:
            raise InputError(
                f"dataset.root={root}: there is no file that ends in {listed(self.endings)}"
            )

    @abstractmethod
    def blocks(self) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        """Names and inputs of the samples, some at a time.

        Raises:
            InputError: they are not what the run takes, or cannot be read.
        """

    def describe(self, names: Sequence[str]) -> Mapping[str, str]:
        """What else a person sees of a sample that ``blocks`` has named; never its label."""
        return {}

    def hash_sample(self, names: Sequence[str], x: Array) -> str:
        """A hash of what a sample holds, as of ``Dataset.hash_sample``."""
        return hash_values(self.describe(names) or x)

    def name(self, file: Path) -> str:
        """A file's path below the root."""
        return file.relative_to(self.root).as_posix() if self.root.is_dir() else file.name

    def mark_finite(self, x: Array) -> Array:
        """Marks samples that are numbers throughout; series, to their end."""
        if self.inputs.get("padded") and x.ndim == 3:
            return mark_finite_series(x)
        return mark_finite(x)

    def number_samples(self, file: Path, x: Array) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        """Names the samples of a file by their numbers; gives some at a time."""
        for start in range(0, len(x), SAMPLES_AT_ONCE):
            rows = np.array(x[start : start + SAMPLES_AT_ONCE], order="C")  # a mapped file is read
            if rows.dtype.kind == "f" and not (finite := self.mark_finite(rows)).all():
                row = start + int(finite.argmin())
                raise InputError(f"{file}: row {row} has values that are NaN or infinite")
            yield [(self.name(file), str(start + i)) for i in range(len(rows))], rows


class NewImages(NewSamples):
    """Images, of the size and channels that the run was trained on."""

    endings = IMAGE_ENDINGS
    names = ("file",)
    changed = ("on_error",)

    def blocks(self) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        if self.inputs["dtype"] != "uint8" or len(self.shape) != 3:
            raise InputError(
                f"the run takes {self.inputs['dtype']} of the shape {self.shape}, not images "
                "in bytes: dataset=arrays reads what was made of them"
            )
        crop = self.keys.get("crop", 1.0)

        def decode(path: Path) -> Array | str:
            try:
                return crop_middle(path.read_bytes(), [*self.shape[1:]], self.shape[0], crop=crop)
            except Exception as error:  # what a damaged file makes of itself has no type
                return f"{path}: {describe_failure(error)}"

        many = max(1, min(SAMPLES_AT_ONCE, 2**28 // prod(self.shape)))
        for start in range(0, len(self.files), many):
            files = self.files[start : start + many]
            read = list(zip(files, map_threads(decode, files), strict=True))
            self.broken += [why for _, why in read if isinstance(why, str)]
            if kept := [(file, x) for file, x in read if not isinstance(x, str)]:
                yield [(self.name(file),) for file, _ in kept], np.stack([x for _, x in kept])
        if self.broken and self.keys.get("on_error", "stop") == "stop":
            raise InputError(
                f"{len(self.broken)} images cannot be read (+dataset.on_error=skip goes on "
                "without them):",
                *shorten_list(self.broken),
            )

    def hash_sample(self, names: Sequence[str], x: Array) -> str:
        file = self.root / names[0] if self.root.is_dir() else self.root
        return hash_values(file.read_bytes())


class NewArrays(NewSamples):
    """Arrays: ``.npy``, or ``x`` in ``.npz``; labels are not read."""

    endings = (".npy", ".npz")

    def blocks(self) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        known = [path for path in self.files if path.name not in BESIDE]
        for file in known:
            x = self.load_samples(file)
            for names, rows in self.number_samples(file, x):
                rows = scale(rows, self.inputs)
                yield names, rows.astype(self.inputs["dtype"], copy=False)

    def load_samples(self, file: Path) -> Array:
        """The inputs in a file, in the shape that the run takes; series cut or padded as its own.

        Raises:
            InputError: they have another shape, or are of another kind.
        """
        x, length = self.load_array(file)
        byte = self.inputs["dtype"] == "uint8"
        if x.dtype.kind not in "biuf" or byte != (x.dtype == np.uint8):
            raise InputError(f"{file} holds {x.dtype}, the run takes {self.inputs['dtype']}")
        if x.ndim > 1 and prod(x.shape[1:]) == prod(self.shape):
            x = x.reshape(-1, *self.shape)
        x = mark_end(x, length, file)
        window = self.keys.get("window")
        if window and x.ndim == 3 and x.shape[2] != window:
            x = cut_windows(x, None, window, self.keys.get("stride") or window, file).x
        if self.inputs.get("padded") and x.ndim == 3 and x.shape[1] == self.shape[0]:
            return bring_to_length(x.astype(np.float32, copy=False), max(self.shape[1], x.shape[2]))
        if x.ndim < 2 or x.shape[1:] != self.shape:
            raise InputError(
                f"{file} holds samples of the shape {x.shape[1:]}, the run takes {self.shape}"
            )
        return x

    def load_array(self, file: Path) -> tuple[Array, Array | None]:
        """The inputs in a file, and how long series are, if it says so; an ``.npy`` is mapped."""
        if file.suffix == ".npy":
            length = file.with_name("length.npy")
            there = file.name == "x.npy" and length.is_file()
            return map_array(file), map_array(length) if there else None
        held = read_archive(file)
        if "x" not in held:
            raise InputError(f"{file} holds {listed(sorted(held))}; needed is x")
        return held["x"], held.get("length")


class NewTable(NewSamples):
    """Rows of tables, by the run's columns and in its scale; other columns are not read."""

    endings = tuple(READERS)
    changed: tuple[str, ...] = (
        *("label", "domain", "drop", "separator", "encoding", "decimal", "missing_values"),
    )

    def __init__(self, root: str, inputs: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
        super().__init__(root, inputs, keys)
        self._described: dict[Path, Any] = {}

    def blocks(self) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        for file in self.files:
            x = self.features(file)
            if x.shape[1:] != self.shape:
                raise InputError(
                    f"{file} has {x.shape[1]} columns of features, the run takes {self.shape[0]}"
                )
            yield from self.number_samples(file, scale(x, self.inputs).astype(np.float32))

    def features(self, file: Path) -> Array:
        """The columns as the run prepared its own; by no names, all but those left out."""
        fitted = self.inputs.get("preparation", UNPREPARED)
        rows = self.read(file, texts=[*fitted["categories"]])
        if columns := self.inputs.get("columns"):
            rows = select_columns(rows, columns, file)
        else:
            others = [self.keys.get("label"), self.keys.get("domain"), *self.keys.get("drop", ())]
            rows = rows.drop(columns=others, errors="ignore")
        encoded = encode(rows, fitted, place_of_row)
        for column, count in encoded.unseen.items():
            log.warning("%s: %d values of %s are not among those trained on", file, count, column)
        way = "the run fills none: dataset.missing=mean, median or indicator when it is trained"
        refuse_missing(rows, fitted, place_of_row, way)
        return complete(encoded.x, fitted)

    def describe(self, names: Sequence[str]) -> Mapping[str, str]:
        name, row = names
        return describe_row(self._rows(name).iloc[int(row)], without=self.keys.get("label"))

    def hash_sample(self, names: Sequence[str], x: Array) -> str:
        name, row = names
        columns = self.inputs.get("columns") or self.keys.get("text")
        rows = self._rows(name)
        cells = (rows[[*columns]] if columns else rows).iloc[int(row)]
        return hash_values(describe_row(cells, without=self.keys.get("label")))

    def _rows(self, name: str) -> Any:
        file = self.root / name if self.root.is_dir() else self.root
        if file not in self._described:
            self._described[file] = self.read(file, names=self.keys.get("text", ()))
        return self._described[file]

    def read(self, file: Path, *, names: Sequence[str] = (), texts: Sequence[str] = ()) -> Any:
        """The rows of a file, indexed by file and line."""
        import pandas as pd

        marks = self.keys.get("missing_values")
        written = TableFormat(
            self.keys.get("separator"),
            self.keys.get("encoding"),
            self.keys.get("decimal"),
            MISSING_VALUES if marks is None else tuple(marks),
        )
        names = [*names, *filter(None, (self.keys.get("label"), self.keys.get("domain")))]
        rows = read_table(file, written, names=names, texts=texts)
        return pd.concat({str(file): rows})


class NewTexts(NewTable):
    """Texts in columns of tables, as token ids of the run's tokenizer."""

    changed = ("text", *NewTable.changed[:6])

    def blocks(self) -> Iterator[tuple[list[tuple[str, ...]], Array]]:
        if self.inputs["tokens"] is None:
            raise InputError(f"the run takes numbers of the shape {self.shape}, not texts")
        for file in self.files:
            columns = self.keys.get("text", ["text"])
            texts = join_columns(select_columns(self.read(file, names=columns), columns, file))
            x = token_ids(
                texts,
                tokenizer=self.keys["tokenizer"],
                vocabulary=self.keys["vocabulary"],
                length=self.shape[0],
                cache=None,
            )
            yield from self.number_samples(file, x)


def select_columns(rows: Any, columns: Sequence[str], file: Path) -> Any:
    """Columns of a frame, in this order.

    Raises:
        InputError: some are not there.
    """
    if missing := [name for name in columns if name not in rows.columns]:
        raise InputError(f"{file} has no column {listed(missing)}; it has {listed(rows.columns)}")
    return rows[list(columns)]


def open_new_samples(
    trained: Mapping[str, Any], given: Mapping[str, Any], inputs: Mapping[str, Any]
) -> NewSamples:
    """Opens new samples, to be read as a run read its own.

    Args:
        trained: config of the data set that the run was trained on.
        given: keys to change, or another data set's config; those of ``RUN_KEYS`` are the run's,
            if they are not ``None``.
        inputs: what the run knows of a sample.

    Raises:
        InputError: there is nothing to read, or a key is the run's own.
    """
    another = "_target_" in given
    given = {key: value for key, value in given.items() if key not in RUN_KEYS or value is not None}
    keys = {
        **({} if another else trained),
        **given,
        **{key: trained[key] for key in RUN_KEYS if key in trained},
    }
    kind = resolve_name(keys["_target_"])
    kinds: dict[type, Callable[..., NewSamples]]
    kinds = {ImageDataset: NewImages, Text: NewTexts, Table: NewTable, Arrays: NewArrays}
    opener = next((new for old, new in kinds.items() if issubclass(kind, old)), None)
    if opener is None:  # a published data set: its files are not laid out as a user's are
        images = inputs["dtype"] == "uint8" and len(inputs["shape"]) == 3
        opener = NewTexts if inputs["tokens"] else NewImages if images else NewArrays
    reader = opener(str(given["root"]), inputs, keys)  # a name may be a number
    usable = ("root", *reader.changed)
    fixed = [key for key in given if key not in usable and not another]
    fixed += [key for key in RUN_KEYS if key in given and given[key] != trained.get(key)]
    if fixed:
        raise InputError(
            f"dataset.{fixed[0]}: samples are read as the run read its own; "
            f"keys that may be given are {listed(usable)}"
        )
    return reader
