"""Domains that are in memory: arrays, tensors, frames, data sets and loaders of samples."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.datasets.arrays import Arrays, Contents, bring_to_length, mark_finite_series
from da_framework.datasets.base import Array, Roles, mark_finite
from da_framework.datasets.columns import Scale, scale

LABELS = ("label", "labels")
"""Names of the column of labels, where none is given."""
MODES = ("L", "RGB")
"""Kinds of pictures that are read as they are; others are brought to RGB."""


class GivenSamples(NamedTuple):
    """Samples as they were given, brought to arrays.

    Attributes:
        x: inputs.
        y: a label a sample; ``None`` where there are none.
        columns: names of the numbers of a sample, where they have names.
        label: name of the column of labels, where it has one.
        batch_size: of the loader that they come from, if they do.
    """

    x: Array
    y: Array | None = None
    columns: tuple[str, ...] = ()
    label: str | None = None
    batch_size: int | None = None


class Memory(Arrays):
    """Domains that are in memory; everything else is as of arrays in files.

    Args:
        held: the samples of each domain.
        keys: of ``Arrays``; its ``root`` is not read.
    """

    layout = "source=(x, y), target=x"
    fewest = 1  # some methods need no source

    def __init__(
        self,
        held: Mapping[str, GivenSamples],
        *,
        root: str = "memory",
        shape: list[int] | None = None,
        scale: Scale = "none",
        window: int | None = None,
        stride: int | None = None,
        **roles: Unpack[Roles],
    ) -> None:
        self._held = dict(held)
        super().__init__(root=root, shape=shape, scale=scale, window=window, stride=stride, **roles)

    def discover(self) -> Iterable[str]:
        return self._held

    def files(self, name: str) -> Sequence[Any]:
        return ()

    def origin(self, name: str) -> str:
        return name

    def fingerprint(self, name: str) -> str:
        held = self._held[name]
        digest = hashlib.sha256(np.ascontiguousarray(held.x).data)
        digest.update(repr(None if held.y is None else held.y.tolist()).encode())
        return digest.hexdigest()[:16]

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = {**super().inputs(name), "labels": self.label_values()}
        columns = self._held[name].columns
        return {**inputs, "columns": list(columns)} if columns else inputs

    def label_values(self) -> list[Any]:
        """The classes that are learnt, as the labels that were given."""
        values: dict[str | None, Any] = {}
        for name in self.domains[::-1]:  # as the source writes them, where there is one
            if (y := self._held[name].y) is not None:
                series = self._windows(name).series
                values |= dict(zip(self._class_names[name], y[series].tolist(), strict=True))
        return [values[name] for name in self.known]

    def _check_root(self, root: str) -> None:
        """There is nothing to find."""

    def _contents(self, name: str) -> Contents:
        held = self._held[name]
        return Contents(held.x, held.y, None)


def read_domains(
    source: Any, target: Any
) -> tuple[dict[str, GivenSamples], dict[str, GivenSamples]]:
    """The domains on either side, their columns in the order of the first.

    Args:
        source: labelled samples, or a mapping from names to those of each domain; ``None`` where a
            method needs none.
        target: samples to work on, with or without labels; or a mapping.

    Raises:
        InputError: they cannot be read, or their columns differ.
    """
    sides: list[dict[str, GivenSamples]] = []
    first: GivenSamples | None = None
    for side, given in (("source", source), ("target", target)):
        domains = given if isinstance(given, Mapping) else {side: given}
        held: dict[str, GivenSamples] = {}
        for name, samples in domains.items() if given is not None else ():
            read = read_samples(samples, str(name), label=first.label if first else None)
            first = first or read
            x = order_columns(read, first.columns, str(name))
            held[str(name)] = read._replace(x=x, columns=first.columns)
        sides.append(held)
    if both := sides[0].keys() & sides[1].keys():
        raise InputError(f"{listed(sorted(both))} is source and target at once: give other names")
    return sides[0], sides[1]


def read_samples(given: Any, name: str, *, label: str | None = None) -> GivenSamples:
    """Samples of one domain as arrays.

    Args:
        given: inputs, or a pair of inputs and labels. Inputs are an array, a tensor, a frame, a
            data set of Hugging Face, or a data set or a loader of torch, whose samples may bring
            their labels themselves. In the place of labels may stand the name of a column.
        name: of the domain, for messages.
        label: the column of labels, where it has this name and no other is given.

    Raises:
        InputError: these are no samples.
    """
    x, y = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if isinstance(y, str):
        label, labels = y, None
    else:
        labels = None if y is None else as_array(y)
    columns = named_columns(x)
    if columns is None and isinstance(y, str):
        raise InputError(f"{name}: {y!r} names a column of labels, but its inputs have no columns")
    if columns is not None:
        own = labels is None
        samples = join_columns(columns, label, name, asked=isinstance(y, str), labelled=own)
    elif holds_items(x):
        samples = read_items(x, label, name)
    else:
        samples = GivenSamples(as_array(x))
    if labels is not None:
        samples = samples._replace(y=labels)
    return checked(samples, name)


def checked(samples: GivenSamples, name: str) -> GivenSamples:
    """Samples that can be read, truths as numbers, a column of labels as a row.

    Raises:
        InputError: they cannot.
    """
    x, y = samples.x, samples.y
    if x.dtype == np.bool_:
        x = x.astype(np.float32)
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if not np.issubdtype(x.dtype, np.number) or x.ndim < 2:
        raise InputError(
            f"{name}: inputs are {x.dtype} of the shape {x.shape}; needed are numbers, a row or "
            "more of them a sample"
        )
    if y is not None and (y.ndim != 1 or len(y) != len(x)):
        raise InputError(
            f"{name}: inputs have the shape {x.shape}, labels {y.shape}; needed is one label a "
            "sample"
        )
    return samples._replace(x=x, y=y)


def as_array(values: Any) -> Array:
    """Numbers, names or pictures as an array; of a picture, channels first."""
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu()
        return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)
    if hasattr(values, "getbands"):  # a picture
        picture = np.asarray(values if values.mode in MODES else values.convert("RGB"))
        return picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    if hasattr(values, "to_numpy"):  # a series
        return np.asarray(values.to_numpy())
    if hasattr(values, "toarray"):  # a sparse matrix
        return np.asarray(values.toarray())
    if isinstance(values, list | tuple) and any(map(is_item, values[:1])):
        return np.stack([as_array(value) for value in values])
    return np.asarray(values)


def is_item(value: Any) -> bool:
    """Whether something in a list has to be brought to an array itself."""
    return any(hasattr(value, name) for name in ("detach", "getbands", "to_numpy"))


def named_columns(x: Any) -> dict[str, Array] | None:
    """The columns of a frame or of a data set of Hugging Face; none of anything else."""
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        return {str(name): as_array(x[name]) for name in x.columns}
    if isinstance(getattr(x, "column_names", None), list):
        return {name: as_array(as_list(x[name])) for name in x.column_names}
    return None


def as_list(column: Any) -> Any:
    """A column that is read as it is asked for, as a list."""
    return column if hasattr(column, "shape") else list(column)


def join_columns(
    columns: Mapping[str, Array], label: str | None, name: str, *, asked: bool, labelled: bool
) -> GivenSamples:
    """Inputs and labels of columns.

    Args:
        columns: by name.
        label: the column of labels.
        name: of the domain.
        asked: whether there must be such a column.
        labelled: whether one of the columns may be the labels.

    Raises:
        InputError: there is no such column, or the others are not numbers alone.
    """
    if asked and label not in columns:
        raise InputError(f"{name} has no column {label!r}; it has {listed(columns)}")
    usual = (label,) if label is not None else LABELS
    label = next((own for own in usual if own in columns), None) if labelled else None
    inputs = {own: values for own, values in columns.items() if own != label}
    y = None if label is None else columns[label]
    if len(inputs) == 1 and (alone := next(iter(inputs.values()))).ndim > 1:
        return GivenSamples(alone, y, label=label)
    if others := [own for own, x in inputs.items() if x.dtype.kind not in "biuf" or x.ndim != 1]:
        raise InputError(
            f"{name}: the column {listed(others)} is not of one number a sample: leave it out, or "
            "make numbers of it; da train dataset=table prepares categories and dates"
        )
    if not inputs:
        raise InputError(f"{name} has no column of inputs; it has {listed(columns)}")
    return GivenSamples(np.stack([*inputs.values()], 1), y, tuple(inputs), label)


def order_columns(samples: GivenSamples, columns: Sequence[str], name: str) -> Array:
    """Inputs with their columns in an order, by name; as they are where they have no names.

    Raises:
        InputError: the columns differ.
    """
    own = samples.columns
    if not own or not columns or own == tuple(columns):
        return samples.x
    lacking = [column for column in columns if column not in own]
    extra = [column for column in own if column not in columns]
    if lacking or extra:
        reasons = [f"lacks {listed(lacking)}"] * bool(lacking)
        reasons += [f"has {listed(extra)} beside them"] * bool(extra)
        raise InputError(f"the columns are {listed(columns)}, but {name} {' and '.join(reasons)}")
    return samples.x[:, [own.index(column) for column in columns]]


def holds_items(x: Any) -> bool:
    """Whether these are samples one by one, or in batches."""
    array = hasattr(x, "__array__") or hasattr(x, "toarray") or isinstance(x, list | tuple)
    return not array and (hasattr(x, "__getitem__") or hasattr(x, "__iter__"))


def read_items(given: Any, label: str | None, name: str) -> GivenSamples:
    """Samples of a data set or a loader of torch.

    A loader that shuffles is read in the order of its data set: batches are drawn in training.

    Raises:
        InputError: there are none, or a loader makes no batches.
    """
    batched = hasattr(given, "dataset") and hasattr(given, "batch_size")
    if batched and given.batch_size is None and getattr(given, "batch_sampler", None) is None:
        raise InputError(f"{name}: the loader makes no batches: give its dataset")
    items = read_in_order(given) if batched else each_item(given)
    xs: list[Array] = []
    ys: list[Array] = []
    fields: dict[str, list[Array]] = {}
    for item in items:
        if isinstance(item, Mapping):
            for key, value in item.items():
                fields.setdefault(key, []).append(as_batch(value, batched))
        elif isinstance(item, tuple | list):
            xs.append(as_batch(item[0], batched))
            if len(item) > 1:
                ys.append(as_batch(item[1], batched))
        else:
            xs.append(as_batch(item, batched))
    size = given.batch_size if batched else None
    if fields:
        columns = {key: np.concatenate(values) for key, values in fields.items()}
        samples = join_columns(columns, label, name, asked=False, labelled=True)
        return samples._replace(batch_size=size)
    if not xs:
        raise InputError(f"{name} is empty")
    y = np.concatenate(ys) if ys else None
    return GivenSamples(np.concatenate(xs), y, batch_size=size)


def each_item(given: Any) -> Iterator[Any]:
    """The samples of a data set, in its order."""
    if hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        return (given[number] for number in range(len(given)))
    return iter(given)


def as_batch(values: Any, batched: bool) -> Array:
    """Values of several samples; those of one are several of one."""
    array = as_array(values)
    return array if batched else array[None]


def read_in_order(loader: Any) -> Iterable[Any]:
    """The batches of a loader; of one that shuffles all of its samples, in their own order."""
    from torch.utils.data import DataLoader, RandomSampler

    sampler = getattr(loader, "sampler", None)
    shuffled = isinstance(sampler, RandomSampler) and not sampler.replacement
    if not shuffled or len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        return loader  # type: ignore[no-any-return]
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )


def read_inputs(given: Any, inputs: Mapping[str, Any]) -> Array:
    """Inputs as a trained model takes them; labels that come with them are not read.

    Args:
        given: as of ``read_samples``.
        inputs: what the model knows of a sample (``Run.inputs``).

    Raises:
        InputError: they are not what it takes.
    """
    columns, wanted = named_columns(given), inputs.get("columns") or ()
    if columns is not None and wanted:
        read = {name: columns[name] for name in wanted if name in columns}
        samples = checked(join_columns(read, None, "x", asked=False, labelled=False), "x")
    else:
        samples = read_samples(given, "x")
    x = order_columns(samples, wanted, "x")
    shape, dtype = tuple(inputs["shape"]), inputs["dtype"]
    padded = inputs.get("padded") and x.ndim == 3 and x.shape[1] == shape[0]
    if padded and x.dtype != np.uint8:
        x = bring_to_length(x.astype(np.float32, copy=False), max(shape[1], x.shape[2]))
        shape = x.shape[1:]
    if prod(x.shape[1:]) != prod(shape):
        raise InputError(f"x holds samples of the shape {x.shape[1:]}, the model takes {shape}")
    if (dtype == "uint8") != (x.dtype == np.uint8):
        raise InputError(f"x holds {x.dtype}, the model takes {dtype}")
    x = scale(x.reshape(-1, *shape), inputs).astype(dtype)
    finite = mark_finite_series(x) if padded else mark_finite(x)
    if dtype == "float32" and not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InputError(f"row {row} of x has values that are NaN or infinite")
    return x
