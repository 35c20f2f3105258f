"""Arrays: a file for each domain, with inputs and labels."""

import zipfile
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any, Unpack

import numpy as np

from da_framework.core.damage import explain_damage, file_size
from da_framework.core.errors import InputError, listed
from da_framework.core.room import require_memory
from da_framework.core.types import Count, External
from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.custom import Discovered

ARRAYS = "file of arrays"
WRITE_ANEW = "write it anew by numpy.savez or numpy.save"


class Arrays(Discovered):
    """Inputs and labels in ``root/<domain>.npz``, or in ``root/<domain>/x.npy`` and ``y.npy``.

    A file holds ``x`` and ``y``, and may mark the official test part by ``test``; or it holds
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Inputs are images (uint8, channels first)
    or numbers of any shape, read as float32; labels are numbers or names. Files
    ``.npy`` in uint8 or float32 are mapped: no more is held in memory than the samples in use.

    Args:
        root: the folder of the files.
        shape: of one input, where inputs are stored flat: [9, 128] is a series of 9 channels;
            ``None``: as stored.
    """

    layout = "root/<domain>.npz, or root/<domain>/x.npy and y.npy"

    def __init__(
        self, *, root: Annotated[str, External()], shape: list[Count] | None, **roles: Unpack[Roles]
    ) -> None:
        self.shape = shape
        super().__init__(root=root, **roles)

    def discover(self) -> Iterable[str]:
        mapped = [path.parent.name for path in self.root.glob("*/x.npy")]
        packed = [path.stem for path in self.root.glob("*.npz")]
        if both := sorted({*mapped} & {*packed}):
            raise InputError(
                f"{self.root} holds {listed(both)} as .npz and as a folder: remove one of them"
            )
        return [*mapped, *packed]

    def files(self, name: str) -> Sequence[Path]:
        folder = self.root / name
        if (folder / "x.npy").is_file():
            test = folder / "test.npy"
            return [folder / "x.npy", folder / "y.npy", *[test] * test.is_file()]
        return [self.root / f"{name}.npz"]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted({str(label) for label in self._contents(name)[1].tolist()})

    def _contents(self, name: str) -> tuple[Array, Array, Array | None]:
        contents: tuple[Array, Array, Array | None]
        contents = self.read_once(name, lambda: read_labelled_arrays(self.files(name)))
        return contents

    def load(self, name: str) -> Domain:
        x, y, test = self._contents(name)
        if x.dtype not in (np.uint8, np.float32):
            mend = "stored as float32 or uint8, they are read as needed"
            require_memory(4 * x.size, f"the inputs of {name} in float32", mend=mend)
            x = x.astype(np.float32)
        if self.shape is not None:
            if prod(x.shape[1:]) != prod(self.shape):
                raise InputError(
                    f"dataset.shape={self.shape} is of {prod(self.shape)} numbers, the samples of "
                    f"{self.files(name)[0]} are of {prod(x.shape[1:])}"
                )
            x = x.reshape(-1, *self.shape)
        return Domain(np.ascontiguousarray(x), self.encode_labels(y), test)


def read_labelled_arrays(files: Sequence[Path]) -> tuple[Array, Array, Array | None]:
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
    if {"x_train", "y_train", "x_test", "y_test"} <= held.keys():
        test: Array | None
        x, y = (np.concatenate([held[f"{key}_train"], held[f"{key}_test"]]) for key in "xy")
        test = np.arange(len(y)) >= len(held["y_train"])
    elif {"x", "y"} <= held.keys():
        x, y, test = held["x"], held["y"], held.get("test")
    else:
        raise InputError(
            f"{path} holds {listed(sorted(held))}; needed are x and y, or x_train, y_train, x_test "
            "and y_test"
        )
    if not np.issubdtype(x.dtype, np.number) or y.ndim != 1:
        raise InputError(
            f"{path}: x is {x.dtype} of shape {x.shape} and y has the shape {y.shape}; needed are "
            "numbers and one label a sample"
        )
    return x, y, None if test is None else test.astype(bool)


def map_array(file: Path) -> Array:
    """The array in an ``.npy``, mapped.

    Raises:
        InputError: it cannot be read.
    """
    file_size(file, ARRAYS)
    with explain_damage(file, ARRAYS, mend=WRITE_ANEW):
        array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        return array


def read_archive(file: Path) -> dict[str, Array]:
    """The arrays in an ``.npz``.

    Raises:
        InputError: it cannot be read, or holds more than memory has room for.
    """
    file_size(file, ARRAYS)
    with explain_damage(file, ARRAYS, mend=WRITE_ANEW):
        with zipfile.ZipFile(file) as packed:
            size = sum(part.file_size for part in packed.infolist())
        mend = "arrays in root/<domain>/x.npy are mapped, and read as needed"
        require_memory(size, f"{file}, unpacked", mend=mend)
        # opened here: numpy leaves a file open whose end is missing
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
