"""Arrays: a file for each domain, with inputs and labels."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from da_framework.core.damage import explain_damage, file_size
from da_framework.core.errors import InputError, listed
from da_framework.core.room import require_memory
from da_framework.core.types import Count, External
from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.columns import Scale, fit_scale, former_scale
from da_framework.datasets.custom import Discovered, Labels, is_hidden, label_names


class Contents(NamedTuple):
    """What the files of a domain hold.

    Attributes:
        x: inputs.
        y: a label a sample; ``None`` where there are none.
        test: marks the official test part; ``None`` where there is none.
        length: steps of each series; ``None``: as the series show.
    """

    x: Array
    y: Array | None
    test: NDArray[np.bool_] | None
    length: Array | None = None


class Windows(NamedTuple):
    """Windows of series.

    Attributes:
        x: windows, channels and time.
        series: the number of the series that each is of.
    """

    x: Array
    series: NDArray[np.int64]


ARRAYS = "file of arrays"
WRITE_ANEW = "write it anew by numpy.savez or numpy.save"
CHANNELS = (1, 3, 4)
"""That an image has: of grey, of colours, with transparency."""


class Arrays(Discovered):
    """Inputs and labels in ``root/<domain>.npz``, or in ``root/<domain>/x.npy`` and ``y.npy``.

    A file holds ``x`` and ``y``, and may mark the official test part by ``test``; or it holds
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Inputs are images (uint8, channels first)
    or numbers of any shape, read as float32; labels are numbers or names, and a target may lack
    them: no ``y``, or NaN, or -1. Files ``.npy`` in uint8 or float32 are mapped: no more is held in
    memory than the samples in use.

    Series (channels, time) may be of unequal length: one ends where all its channels are NaN, or
    after as many steps as ``length`` in the file says. They are brought to the length of the
    longest by NaN, which networks of series do not read, or cut into windows.

    Args:
        root: the folder of the files.
        shape: of one input, where inputs are stored flat: [9, 128] is a series of 9 channels;
            ``None``: as stored.
        scale: brings numbers to mean 0 and deviation 1 of the ``source``'s samples, or of those of
            each ``domain``: every number of flat samples, every channel of others; ``none`` leaves
            them.
        window: cuts series into windows of so many steps, which are the samples; those of one
            series stay in one part of a split. ``None``: uncut.
        stride: steps between the beginnings of two windows; ``None``: as long as the window.
    """

    kind = "arrays"
    layout = "root/<domain>.npz, or root/<domain>/x.npy and y.npy"

    def __init__(
        self,
        *,
        root: Annotated[str, External()],
        shape: list[Count] | None,
        scale: Scale,
        window: Count | None,
        stride: Count | None,
        **roles: Unpack[Roles],
    ) -> None:
        self.shape = shape
        self.scale = scale
        self.window = window
        self.stride = stride or window
        if stride is not None and window is None:
            raise InputError(f"dataset.stride={stride} is of windows: dataset.window={stride}")
        super().__init__(root=root, **roles)

    def discover(self) -> Iterable[str]:
        mapped = [path.parent.name for path in self.root.glob("*/x.npy")]
        packed = [p.stem for p in self.root.glob("*.npz") if not is_hidden(p, self.root)]
        if both := sorted({*mapped} & {*packed}):
            raise InputError(
                f"{self.root} holds {listed(both)} as .npz and as a folder: remove one of them"
            )
        return [*mapped, *packed]

    def files(self, name: str) -> Sequence[Path]:
        folder = self.root / name
        if (folder / "x.npy").is_file():
            parts = [folder / f"{part}.npy" for part in ("y", "test", "length")]
            return [folder / "x.npy", *(part for part in parts if part.is_file())]
        return [self.root / f"{name}.npz"]

    def labels(self, name: str) -> Sequence[Labels]:
        contents, series = self._contents(name), self._windows(name).series
        y = contents.y
        names = [None] * len(contents.x) if y is None else label_names(y.tolist())
        return [Labels(name, [names[row] for row in series])]

    @property
    def padded(self) -> bool:
        return any(
            lengths.min() < self.longest
            for lengths in map(self._lengths, self.domains)
            if lengths is not None
        )

    @property
    def longest(self) -> int:
        """Steps of the longest series of the domains in use; 0 where samples are no series."""
        every = [self._lengths(name) for name in self.domains]
        return max((int(lengths.max()) for lengths in every if lengths is not None), default=0)

    def mark_finite(self, x: Array) -> NDArray[np.bool_]:
        return mark_finite_series(x) if self.padded else super().mark_finite(x)

    def load(self, name: str) -> Domain:
        x = self._inputs(name)
        if (fitted := self._scale(name)) is not None:
            mean, deviation = fitted
            x = ((x - mean) / deviation).astype(np.float32)
        if (lengths := self._lengths(name)) is not None:
            x = bring_to_length(x, max(self.longest, int(lengths.max())))
        test, series = self._contents(name).test, self._windows(name).series
        return Domain(
            np.ascontiguousarray(x),
            self.encode_labels(name),
            None if test is None else test[series],
            group=series if self.window else None,
        )

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = super().inputs(name)
        inputs["scale"], _ = former_scale(self.scale, self.source, self.former)
        if (fitted := self._scale(name)) is not None:
            mean, deviation = fitted
            inputs |= {"mean": mean.tolist(), "std": deviation.tolist()}
        return inputs | ({"padded": True} if self.padded else {})

    def origin(self, name: str) -> Path | str:
        """What a domain is read from, for a message."""
        return self.files(name)[0]

    def _contents(self, name: str) -> Contents:
        contents: Contents = self.read_once(name, lambda: read_arrays(self.files(name)))
        return contents

    def _inputs(self, name: str) -> Array:
        return self._windows(name).x

    def _windows(self, name: str) -> Windows:
        def cut() -> Windows:
            x, contents = self._whole(name), self._contents(name)
            file = self.origin(name)
            if self.window is None or self.stride is None:
                return Windows(mark_end(x, contents.length, file), np.arange(len(x)))
            return cut_windows(x, contents.length, self.window, self.stride, file)

        windows: Windows = self.read_once(f"windows of {name}", cut)
        return windows

    def _lengths(self, name: str) -> NDArray[np.int64] | None:
        """Steps of each series of a domain; none where its samples are not uncut series."""
        x = self._inputs(name)
        if self.window is not None or x.ndim != 3 or x.dtype.kind != "f":
            return None

        def measure() -> NDArray[np.int64]:
            lengths = series_lengths(x, None)
            refuse_empty_series(lengths, self.origin(name))
            return lengths

        lengths: NDArray[np.int64] = self.read_once(f"lengths of {name}", measure)
        return lengths

    def _whole(self, name: str) -> Array:
        x = self._contents(name).x
        if x.dtype not in (np.uint8, np.float32):
            mend = "stored as float32 or uint8, they are read as needed"
            require_memory(4 * x.size, f"the inputs of {name} in float32", mend=mend)
            x = x.astype(np.float32)
        if self.shape is not None:
            if prod(x.shape[1:]) != prod(self.shape):
                raise InputError(
                    f"dataset.shape={self.shape} is of {prod(self.shape)} numbers, the samples of "
                    f"{self.origin(name)} are of {prod(x.shape[1:])}"
                )
            x = x.reshape(-1, *self.shape)
        if (
            x.dtype == np.uint8
            and x.ndim == 4
            and x.shape[3] in CHANNELS
            and x.shape[1] not in CHANNELS
        ):
            raise InputError(
                f"{self.origin(name)}: images have the shape {x.shape[1:]}, channels last; needed "
                "are channels first: x.transpose(0, 3, 1, 2)"
            )
        return x

    def _scale(self, name: str) -> tuple[Array, Array] | None:
        """Mean and deviation by which a domain's inputs are standardized: a number a channel."""
        like = self._inputs(name)
        wide = (like.shape[1], *(1 for _ in like.shape[2:]))
        kind, former = former_scale(self.scale, self.source, self.former)
        if kind == "none" or (former is not None and former[0].shape == wide):
            return former
        if like.dtype == np.uint8:
            raise InputError(
                f"dataset.scale={self.scale}: {self.origin(name)} holds images in bytes, whose "
                "scale is known: dataset.scale=none"
            )
        sides = [[self._inputs(domain) for domain in side] for side in (self.source, self.target)]
        form = (like.ndim, like.shape[1])
        alike = ([x for x in side if (x.ndim, x.shape[1]) == form] for side in sides)
        fitted = [like] if kind == "domain" else next(filter(None, alike), [like])
        channels = [
            np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).astype(np.float64) for x in fitted
        ]
        known = np.concatenate([rows[np.isfinite(rows).all(1)] for rows in channels])
        # where nothing is known, the check of the inputs says so
        mean, deviation = fit_scale(known if len(known) else np.zeros((1, known.shape[1])))
        return mean.reshape(wide), deviation.reshape(wide)


def read_arrays(files: Sequence[Path]) -> Contents:
    """Reads inputs, labels and the marks of the test part from a domain's files.

    Raises:
        InputError: a file cannot be read, or holds something else.
    """
    path = files[0]
    held: dict[str, Any]
    if path.suffix == ".npy":  # mapped: what is not asked for is not read
        held = {file.stem: map_array(file) for file in files}
    else:
        held = read_archive(path)
    test: Array | None
    if {"x_train", "x_test"} <= held.keys():
        for part in ("train", "test"):
            check_arrays(path, held[f"x_{part}"], held.get(f"y_{part}"))
        shapes = [held[f"x_{part}"].shape[1:] for part in ("train", "test")]
        if shapes[0] != shapes[1]:
            raise InputError(f"{path}: samples of both parts differ in shape: {shapes}")
        x = np.concatenate([held["x_train"], held["x_test"]])
        test = np.arange(len(x)) >= len(held["x_train"])
        y = join_labels(held)
    elif "x" in held:
        x, y, test = held["x"], held.get("y"), held.get("test")
        check_arrays(path, x, y)
        if test is not None and (test.shape != (len(x),) or test.dtype.kind not in "biuf"):
            raise InputError(f"{path}: test has the shape {test.shape}, not a mark a sample")
    else:
        raise InputError(
            f"{path} holds {listed(sorted(held))}; needed are x and y, or x_train, y_train, x_test "
            "and y_test"
        )
    length = held.get("length")
    return Contents(x, y, None if test is None else test.astype(bool), length)


def check_arrays(where: Path | str, x: Array, y: Array | None) -> None:
    """Raises where these are not inputs and labels.

    Raises:
        InputError: that is so.
    """
    if x.dtype.kind not in "iuf" or (y is not None and y.ndim != 1) or x.ndim < 2:
        labels = "no y" if y is None else f"y has the shape {y.shape}"
        raise InputError(
            f"{where}: x is {x.dtype} of shape {x.shape} and {labels}; needed are numbers, a "
            "row or more of them a sample, and one label a sample"
        )
    if y is not None and len(y) != len(x):
        raise InputError(f"{where}: {len(x)} inputs but {len(y)} labels")
    if not x.size:
        raise InputError(f"{where} is empty: x has the shape {x.shape}")


@contextmanager
def explain_objects(file: Path) -> Iterator[None]:
    """Says the way out where a file holds Python objects, as series of unequal length are saved."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(
            f"{file} cannot be read: it holds Python objects, as NumPy saves series of unequal "
            "length: fill these up with NaN to one length, or say it by length beside x"
        ) from None


def map_array(file: Path) -> Array:
    """The array in an ``.npy``, mapped.

    Raises:
        InputError: it cannot be read.
    """
    file_size(file, ARRAYS)
    with explain_damage(file, ARRAYS, mend=WRITE_ANEW), explain_objects(file):
        array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        return array


def read_archive(file: Path) -> dict[str, Array]:
    """The arrays in an ``.npz``.

    Raises:
        InputError: it cannot be read, or holds more than memory has room for.
    """
    file_size(file, ARRAYS)
    with explain_damage(file, ARRAYS, mend=WRITE_ANEW), explain_objects(file):
        with zipfile.ZipFile(file) as packed:
            size = sum(part.file_size for part in packed.infolist())
        mend = "arrays in root/<domain>/x.npy are mapped, and read as needed"
        require_memory(size, f"{file}, unpacked", mend=mend)
        # opened here: numpy leaves a file open whose end is missing
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def series_lengths(x: Array, length: Array | None) -> NDArray[np.int64]:
    """Steps of each series: as given, or up to the last at which a channel has a number."""
    if length is not None:
        return np.asarray(length).astype(np.int64)
    steps = x.shape[2]
    lengths = np.full(len(x), steps)
    if x.dtype.kind != "f":
        return lengths
    # of most, the last step is there, and no other need be looked at
    shorter = np.flatnonzero(np.isnan(x[:, :, -1]).all(1)) if steps else np.arange(0)
    known: NDArray[np.bool_] = np.logical_not(np.isnan(x[shorter]).all(axis=1))
    lengths[shorter] = np.where(known.any(1), steps - known[:, ::-1].argmax(1), 0)
    return lengths


def mark_end(x: Array, length: Array | None, file: Path | str) -> Array:
    """Series with NaN behind the end of each, where a file says how long they are.

    Raises:
        InputError: they are no series, or cannot be as long.
    """
    if length is None:
        return x
    if x.ndim != 3 or length.shape != (len(x),):
        raise InputError(
            f"{file}: length has the shape {length.shape}, x {x.shape}: it is of series (channels, "
            "time), a number of steps each"
        )
    lengths = series_lengths(x, length)
    refuse_empty_series(lengths, file)
    if lengths.max() > x.shape[2]:
        raise InputError(f"{file}: a series of {lengths.max()} steps, but x holds {x.shape[2]}")
    behind = np.arange(x.shape[2]) >= lengths[:, None, None]
    return np.where(behind, np.float32(np.nan), x) if behind.any() else x


def refuse_empty_series(lengths: NDArray[np.int64], file: Path | str) -> None:
    """Raises where a series has no step.

    Raises:
        InputError: that is so.
    """
    if len(empty := np.flatnonzero(lengths < 1)):
        raise InputError(
            f"{file}: {len(empty)} series have no step, the first is row {empty[0]}: leave them out"
        )


def bring_to_length(x: Array, steps: int) -> Array:
    """Series with NaN behind, or without the steps that none of them has."""
    missing = steps - x.shape[2]
    if missing <= 0:
        return x[:, :, :steps]
    return np.pad(x, [(0, 0), (0, 0), (0, missing)], constant_values=np.nan)


def mark_finite_series(x: Array) -> NDArray[np.bool_]:
    """Marks series that are numbers throughout to the end of each."""
    there = np.arange(x.shape[2]) < series_lengths(x, None)[:, None]
    finite: NDArray[np.bool_] = np.all(np.isfinite(x) | ~there[:, None], axis=(1, 2))
    return finite & there[:, 0]


def cut_windows(
    x: Array, length: Array | None, window: int, stride: int, file: Path | str
) -> Windows:
    """Cuts series into windows, each of which is whole.

    Raises:
        InputError: these are no series, or one of them is shorter than a window.
    """
    if x.ndim != 3:
        raise InputError(
            f"dataset.window={window} cuts series of channels and time, but the samples of {file} "
            f"have the shape {x.shape[1:]}: dataset.shape=[channels,time] says it"
        )
    x = mark_end(x, length, file)
    lengths = series_lengths(x, length)
    if len(short := np.flatnonzero(lengths < window)):
        raise InputError(
            f"{file}: {len(short)} series are shorter than dataset.window={window}, the shortest "
            f"is of {lengths.min()} steps: shorten the window, or leave them out"
        )
    starts = [np.arange(0, steps - window + 1, stride) for steps in lengths]
    series = np.repeat(np.arange(len(x)), [len(own) for own in starts])
    steps = np.concatenate(starts)[:, None] + np.arange(window)
    return Windows(x[series[:, None], :, steps].transpose(0, 2, 1), series)


def join_labels(held: dict[str, Array]) -> Array | None:
    """Labels of both parts; a part without any has NaN, or the empty text."""
    parts = [held.get(f"y_{part}") for part in ("train", "test")]
    known = next((part for part in parts if part is not None), None)
    if known is None:
        return None
    lacking: Any = "" if known.dtype.kind in "SU" else np.nan
    filled = [
        np.full(len(held[f"x_{name}"]), lacking) if part is None else part
        for name, part in zip(("train", "test"), parts, strict=True)
    ]
    return np.concatenate(filled)
