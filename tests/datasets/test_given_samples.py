"""Samples that are in memory, whatever they are held by, are the same arrays."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from da_framework.core.errors import InputError
from da_framework.datasets.given_samples import read_domains, read_inputs, read_samples

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 2, 2])


class Rows(Dataset[Any]):
    """Samples that a function makes of their numbers."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(torch.as_tensor(X), Y.tolist(), strict=True))


class HuggingFace:
    """What is asked of a data set of Hugging Face, which tests do without."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns_held = columns
        self.column_names = list(columns)
        self.features = dict.fromkeys(columns)

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns_held[name]


TENSORS = TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y})

WAYS: dict[str, Callable[[], Any]] = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "a column of labels": lambda: (X, Y[:, None]),
    "tensors": lambda: (torch.as_tensor(X), torch.as_tensor(Y)),
    "tensors with a gradient": lambda: (torch.tensor(X, requires_grad=True), torch.as_tensor(Y)),
    "bfloat16": lambda: (torch.as_tensor(X).bfloat16(), Y),
    "a list of tensors": lambda: ([*torch.as_tensor(X)], Y),
    "a frame with its labels": lambda: FRAME,
    "a frame and a column": lambda: (FRAME.rename(columns={"label": "kind"}), "kind"),
    "a frame and a series": lambda: (FRAME[["a", "b"]], FRAME["label"]),
    "a data set": lambda: TENSORS,
    "a data set of pairs": lambda: Rows(lambda n: (X[n], int(Y[n]))),
    "a data set of mappings": lambda: Rows(lambda n: {"pixels": X[n], "label": int(Y[n])}),
    "a data set that is walked": Endless,
    "a loader": lambda: DataLoader(TENSORS, batch_size=4),
    "a loader that shuffles": lambda: DataLoader(TENSORS, batch_size=4, shuffle=True),
    "a loader that drops": lambda: DataLoader(TENSORS, batch_size=4, shuffle=True, drop_last=True),
    "Hugging Face, columns": lambda: HuggingFace(
        {"a": X[:, 0].tolist(), "b": X[:, 1].tolist(), "label": Y.tolist()}
    ),
    "Hugging Face, rows": lambda: HuggingFace({"x": X.tolist(), "labels": Y.tolist()}),
    "sparse": lambda: (scipy.sparse.csr_matrix(X), Y),
    "sparse, as an array": lambda: (scipy.sparse.coo_array(X), Y),
    "a sparse tensor": lambda: (torch.as_tensor(X).to_sparse(), Y),
    "backwards in memory": lambda: (np.asfortranarray(X[::-1])[::-1], Y[::-1][::-1]),
    "a mask that hides nothing": lambda: (np.ma.masked_equal(X, -1), Y),
    "a frame with an index of names": lambda: FRAME.set_axis(list("abcdef")),
    "a frame of lists": lambda: pd.DataFrame({"x": X.tolist(), "label": Y}),
    "a loader of a stream": lambda: DataLoader(Endless(), batch_size=4),
    "a data set that is walked, and a column": lambda: (
        Rows(lambda n: {"pixels": X[n], "kind": int(Y[n])}),
        "kind",
    ),
}
FRAMES: dict[str, Callable[[Any], Any]] = {
    "a frame": lambda polars: polars.DataFrame(FRAME.to_dict("list")),
    "a frame to be computed": lambda polars: polars.LazyFrame(FRAME.to_dict("list")),
    "a frame and a series": lambda polars: (
        polars.DataFrame(FRAME[["a", "b"]].to_dict("list")),
        polars.Series(Y),
    ),
    "a column of lists": lambda polars: polars.DataFrame({"x": X.tolist(), "label": Y}),
}
DATA_SETS: dict[str, Callable[[Any], Any]] = {
    "columns": lambda data: data.Dataset.from_dict(FRAME.to_dict("list")),
    "rows": lambda data: data.Dataset.from_dict({"x": X.tolist(), "labels": Y}),
    "tensors": lambda data: data.Dataset.from_dict(FRAME.to_dict("list")).with_format("torch"),
    "arrays": lambda data: data.Dataset.from_dict({"x": X, "label": Y}).with_format("numpy"),
    "names of classes": lambda data: data.Dataset.from_dict(
        {"x": X, "label": Y},
        features=data.Features(
            {"x": data.Sequence(data.Value("float32")), "label": data.ClassLabel(names=[*"uvw"])}
        ),
    ),
    "a column by name": lambda data: (
        data.Dataset.from_dict(FRAME.rename(columns={"label": "kind"}).to_dict("list")),
        "kind",
    ),
    "a stream": lambda data: data.Dataset.from_dict(FRAME.to_dict("list")).to_iterable_dataset(),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_holds_samples_the_arrays_are_the_same(way: str) -> None:
    samples = read_samples(WAYS[way](), "source")
    assert_array_equal(samples.x, X)
    assert samples.y is not None
    assert_array_equal(samples.y, Y)
    assert samples.batch_size == (4 if "loader" in way else None)


@pytest.mark.parametrize("way", FRAMES)
def test_frames_of_polars(way: str) -> None:
    samples = read_samples(FRAMES[way](pytest.importorskip("polars")), "source")
    assert_array_equal(samples.x, X)
    assert_array_equal(samples.y, Y)


@pytest.mark.parametrize("way", DATA_SETS)
def test_data_sets_of_hugging_face(way: str) -> None:
    samples = read_samples(DATA_SETS[way](pytest.importorskip("datasets")), "source")
    assert_array_equal(samples.x, X)
    assert_array_equal(samples.y, Y)


def test_pictures_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    columns = {"image": [Image.fromarray(own) for own in pixels], "label": Y}
    samples = read_samples(datasets.Dataset.from_dict(columns), "source")
    assert_array_equal(samples.x, pixels.transpose(0, 3, 1, 2))


def test_what_is_masked_or_null_is_missing() -> None:
    hidden = np.ma.masked_equal(X, 3)
    assert_array_equal(read_samples((hidden, Y), "a").x, np.where(X == 3, np.nan, X))
    labels = read_samples((X, np.ma.masked_equal(Y, 1)), "a").y
    assert_array_equal(labels, np.where(Y == 1, np.nan, Y))
    nullable = pd.Series([0, 1, None, 1, 2, 2], dtype="Int64")
    assert_array_equal(read_samples((X, nullable), "a").y, [0, 1, np.nan, 1, 2, 2])


@pytest.mark.parametrize(
    "target",
    [
        X,
        torch.as_tensor(X),
        FRAME[["a", "b"]],
        TensorDataset(torch.as_tensor(X)),
        Rows(X.__getitem__),
    ],
    ids=["array", "tensor", "frame", "data set of inputs", "data set"],
)
def test_a_target_needs_no_labels(target: Any) -> None:
    samples = read_samples(target, "target")
    assert_array_equal(samples.x, X)
    assert samples.y is None


def test_a_loader_s_own_choice_of_samples_is_heeded() -> None:
    loader = DataLoader(TENSORS, batch_size=2, sampler=[4, 1, 0])
    assert_array_equal(read_samples(loader, "source").x, X[[4, 1, 0]])


def test_pictures_become_channels_first() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    pictures = Rows(lambda n: (Image.fromarray(pixels[n]), int(Y[n])))
    assert_array_equal(read_samples(pictures, "source").x, pixels.transpose(0, 3, 1, 2))
    grey = HuggingFace({"image": [Image.fromarray(p[..., 0]) for p in pixels], "label": [*Y]})
    assert_array_equal(read_samples(grey, "source").x, pixels[:, None, :, :, 0])


def test_columns_are_matched_by_name() -> None:
    source, target = read_domains(FRAME, FRAME[["b", "a"]])
    assert_array_equal(source["source"].x, target["target"].x)
    assert_array_equal(read_inputs(FRAME[["b", "a"]], inputs(["a", "b"])), X)
    assert_array_equal(read_inputs(FRAME, inputs(["a", "b"])), X)  # others are not read


def inputs(columns: list[str]) -> dict[str, Any]:
    return {"shape": [2], "dtype": "float32", "columns": columns}


def test_the_source_s_column_of_labels_is_no_input_of_the_target() -> None:
    frame = FRAME.rename(columns={"label": "kind"})
    source, target = read_domains((frame, "kind"), frame)
    assert_array_equal(target["target"].x, source["source"].x)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (FRAME, FRAME[["a"]], "the columns are a, b, but target lacks b"),
        (FRAME, FRAME[["a", "b"]].assign(c=1.0), "target has c beside them"),
        ((FRAME, "kind"), FRAME, "source has no column 'kind'; it has a, b, label"),
        ((X, "kind"), X, "'kind' names a column of labels, but its inputs have no columns"),
        (FRAME.assign(c="x"), FRAME, "source: the column c is not of one number a sample"),
        ((X, Y[:4]), X, "source: 6 inputs but 4 labels"),
        ((X[:, 0], Y), X, "a row or more of them a sample"),
        ((X, np.eye(6)), X, r"y has the shape \(6, 6\); needed are .*one label a sample"),
        (DataLoader(TENSORS, batch_size=None), X, "the loader makes no batches"),
        ({"a": (X, Y)}, {"a": X}, "a is source and target at once"),
        ((X[:0], Y[:0]), X, r"source is empty: x has the shape \(0, 2\)"),
        ((X[:, :0], Y), X, r"source is empty: x has the shape \(6, 0\)"),
        ([X, Y], X, r"source makes no array: .*a pair of inputs and labels is \(x, y\)"),
        ((X, Y, Y), X, r"source makes no array: .*a pair of inputs and labels is \(x, y\)"),
        (([[1, 2], [3]], [0, 1]), X, "source makes no array: "),
        (Rows(lambda n: X[n, : 1 + n % 2]), X, "source makes no array: "),
        ((X.astype(complex), Y), X, "source: x is complex128"),
        ((X.astype(str), Y), X, "source: x is <U32"),
        ((FRAME.set_axis(["a", "a", "label"], axis=1)), X, "several columns have the name a"),
        ("mnist", X, "source: x is <U1"),
    ],
)
def test_what_cannot_be_read_is_said(source: Any, target: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_domains(source, target)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (X[:, :1], r"samples of the shape \(1,\), the model takes \(2,\)"),
        (X.astype(np.uint8), "x holds uint8, the model takes float32"),
        (np.where(X == 5, np.nan, X), "row 2 of x has values that are NaN"),
        (FRAME[["a"]], "the columns are a, b, but x lacks b"),
        (X[:0], r"x is empty: x has the shape \(0, 2\)"),
        (X[0], "a row or more of them a sample"),
        ({"x": X}, "x is a mapping of x: give one of them"),
    ],
)
def test_what_a_model_cannot_take_is_said(x: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_inputs(x, inputs(["a", "b"]))


def test_images_with_their_channels_last_are_not_taken_for_others() -> None:
    model = {"shape": [3, 5, 4], "dtype": "uint8"}
    pixels = np.zeros((6, 3, 5, 4), np.uint8)
    assert read_inputs(pixels, model).shape == read_inputs(pixels.reshape(6, -1), model).shape
    with pytest.raises(InputError, match=r"samples of the shape \(5, 4, 3\), the model takes"):
        read_inputs(pixels.transpose(0, 2, 3, 1), model)
    grey = {"shape": [1, 5, 4], "dtype": "uint8"}
    assert read_inputs(pixels[:, 0], grey).shape == (6, 1, 5, 4)
