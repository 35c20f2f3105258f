"""Samples as people hold them: arrays, tensors, frames, data sets and loaders."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import numpy as np

from da_framework.core.errors import InputError, listed, one_line
from da_framework.datasets.arrays import bring_to_length, check_arrays, mark_finite_series
from da_framework.datasets.base import Array, mark_finite
from da_framework.datasets.columns import scale

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


Columns = dict[str, Array]
"""Arrays of a value a sample, by name."""


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
            labels = (first.label,) if first and first.label else LABELS
            read = read_samples(samples, str(name), labels=labels)
            first = first or read
            x = order_columns(read, first.columns, str(name))
            held[str(name)] = read._replace(x=x, columns=first.columns)
        sides.append(held)
    if both := sides[0].keys() & sides[1].keys():
        raise InputError(f"{listed(sorted(both))} is source and target at once: give other names")
    return sides[0], sides[1]


def read_samples(given: Any, name: str, *, labels: Sequence[str] = LABELS) -> GivenSamples:
    """Samples of one domain as arrays.

    Args:
        given: inputs, or a pair of inputs and labels. Inputs are an array, a tensor, a frame, a
            data set of Hugging Face, or a data set or a loader of torch, whose samples may bring
            their labels themselves. In the place of labels may stand the name of a column.
        name: of the domain, for messages.
        labels: names of the column of labels, where none is given.

    Raises:
        InputError: these are no samples.
    """
    x, y = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    asked = y if isinstance(y, str) else None
    with explain_unequal(name):
        held = read_held(x, name)
        y = None if y is None or asked else as_array(y)
    if isinstance(held, dict):
        usual = next((own for own in labels if own in held), None) if y is None else None
        samples = join_columns(held, asked or usual, name)
    elif asked:
        raise InputError(
            f"{name}: {asked!r} names a column of labels, but its inputs have no columns"
        )
    else:
        samples = held
    size = x.batch_size if is_loader(x) else None
    samples = samples._replace(y=samples.y if y is None else y, batch_size=size)
    return check_samples(samples, name)


def read_held(x: Any, name: str) -> Columns | GivenSamples:
    """What anything holds: columns by name, or inputs, and labels that come with them.

    Raises:
        InputError: these are no samples.
    """
    if (columns := read_columns(x)) is not None:
        return columns
    if isinstance(x, Mapping):
        raise InputError(f"{name} is a mapping of {listed(x)}: give one of them, or a pair (x, y)")
    return read_items(x, name) if holds_items(x) else GivenSamples(as_array(x))


@contextmanager
def explain_unequal(name: str) -> Iterator[None]:
    """Says whose samples make no array, since they are not alike.

    Raises:
        InputError: some do not.
    """
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"{name} makes no array: {one_line(error)}; a pair of inputs and labels is (x, y)"
        ) from None


def check_samples(samples: GivenSamples, name: str) -> GivenSamples:
    """Samples that can be read, truths as numbers, a column of labels as a row.

    Raises:
        InputError: they cannot.
    """
    x, y = samples.x, samples.y
    if x.dtype == np.bool_:
        x = x.astype(np.float32)
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    check_arrays(name, x, y)
    return samples._replace(x=x, y=y)


def as_array(values: Any) -> Array:
    """Numbers, names or pictures as an array; of a picture, channels first."""
    if hasattr(values, "detach"):  # a tensor
        dense = values.detach().cpu().to_dense()
        return np.asarray(dense.float() if str(dense.dtype) == "torch.bfloat16" else dense)
    if hasattr(values, "getbands"):  # a picture
        picture = np.asarray(values if values.mode in MODES else values.convert("RGB"))
        return picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    if hasattr(values, "to_numpy"):  # a frame, or a series
        array = np.asarray(values.to_numpy())
        return as_array([*array]) if holds_rows(array) else array
    if hasattr(values, "toarray"):  # a sparse matrix
        return np.asarray(values.toarray())
    if np.ma.is_masked(values):
        kind, missing = (float, np.nan) if values.dtype.kind in "biuf" else (object, None)
        return np.asarray(values.astype(kind).filled(missing))
    if isinstance(values, list | tuple) and any(map(is_item, values[:1])):
        return np.stack([as_array(value) for value in values])
    return np.asarray(values)


def is_item(value: Any) -> bool:
    """Whether something in a list has to be brought to an array itself."""
    return any(hasattr(value, name) for name in ("detach", "getbands", "to_numpy"))


def holds_rows(array: Array) -> bool:
    """Whether the values of a column are lists, or arrays."""
    return array.dtype == object and array.size > 0 and isinstance(array.flat[0], list | np.ndarray)


def read_columns(x: Any) -> Columns | None:
    """The columns of a frame or of a data set of Hugging Face; none of anything else.

    Raises:
        InputError: two of them have the same name.
    """
    if hasattr(x, "collect_schema") and hasattr(x, "collect"):
        x = x.collect()  # a frame that polars has not computed yet
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        names = [*map(str, x.columns)]
        if double := sorted({own for own in names if names.count(own) > 1}):
            raise InputError(f"several columns have the name {listed(double)}")
        return {name: as_array(x[own]) for name, own in zip(names, x.columns, strict=True)}
    if isinstance(getattr(x, "column_names", None), list):
        # a column that is read as it is asked for has no shape
        held = {name: x[name] for name in x.column_names}
        return {n: as_array(own if hasattr(own, "shape") else [*own]) for n, own in held.items()}
    return None


def join_columns(columns: Columns, label: str | None, name: str) -> GivenSamples:
    """Inputs and labels of columns.

    Args:
        columns: by name.
        label: the column of labels, if there is one.
        name: of the domain.

    Raises:
        InputError: there is no such column, or the others are not numbers alone.
    """
    if label is not None and label not in columns:
        raise InputError(f"{name} has no column {label!r}; it has {listed(columns)}")
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


def is_loader(x: Any) -> bool:
    """Whether these are batches of samples."""
    return hasattr(x, "dataset") and hasattr(x, "batch_size")


def read_items(given: Any, name: str) -> Columns | GivenSamples:
    """Samples of a data set or a loader of torch, each of which may be a mapping.

    A loader that shuffles is read in the order of its data set: batches are drawn in training.

    Raises:
        InputError: there are none, or a loader makes no batches.
    """
    batched = is_loader(given)
    if batched and given.batch_size is None and getattr(given, "batch_sampler", None) is None:
        raise InputError(f"{name}: the loader makes no batches: give its dataset")
    xs: list[Array] = []
    ys: list[Array] = []
    fields: dict[str, list[Array]] = {}
    for item in read_in_order(given) if batched else each_item(given):
        if isinstance(item, Mapping):
            for key, value in item.items():
                fields.setdefault(str(key), []).append(as_batch(value, batched))
        elif isinstance(item, tuple | list):
            xs.append(as_batch(item[0], batched))
            ys += [as_batch(own, batched) for own in item[1:2]]
        else:
            xs.append(as_batch(item, batched))
    if fields:
        return {key: np.concatenate(values) for key, values in fields.items()}
    if not xs:
        raise InputError(f"{name} is empty")
    return GivenSamples(np.concatenate(xs), np.concatenate(ys) if ys else None)


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
    columns, wanted = read_columns(given), inputs.get("columns") or ()
    if columns is not None and wanted:
        read = {name: columns[name] for name in wanted if name in columns}
        samples = check_samples(join_columns(read, None, "x"), "x")
    else:
        samples = read_samples(given, "x")
    x = order_columns(samples, wanted, "x")
    shape, dtype = tuple(inputs["shape"]), inputs["dtype"]
    padded = inputs.get("padded") and x.ndim == 3 and x.shape[1] == shape[0]
    if padded and x.dtype != np.uint8:
        x = bring_to_length(x.astype(np.float32, copy=False), max(shape[1], x.shape[2]))
        shape = x.shape[1:]
    sides = [[side for side in own if side != 1] for own in (x.shape[1:], shape)]
    if sides[0] not in (sides[1], [prod(shape)]):
        raise InputError(f"x holds samples of the shape {x.shape[1:]}, the model takes {shape}")
    if (dtype == "uint8") != (x.dtype == np.uint8):
        raise InputError(f"x holds {x.dtype}, the model takes {dtype}")
    x = scale(x.reshape(-1, *shape), inputs).astype(dtype)
    finite = mark_finite_series(x) if padded else mark_finite(x)
    if dtype == "float32" and not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InputError(f"row {row} of x has values that are NaN or infinite")
    return x
