"""Arrays: a file a domain, with inputs and labels."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.discovered import Discovered
from da_framework.errors import InputError, listed


class Arrays(Discovered):
    """Inputs and labels in ``root/<domain>.npz``.

    A file holds ``x`` and ``y``, and may mark official test rows by ``test``; or it holds
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Inputs are images (uint8, channels first)
    or numbers of any shape, read as float32; labels are numbers or names.

    Args:
        root: the folder of the files.
    """

    layout = "root/<domain>.npz"

    def __init__(self, *, root: str, **roles: Unpack[Roles]) -> None:
        super().__init__(root=root, **roles)

    def discover(self) -> Iterable[str]:
        return [path.stem for path in self.root.glob("*.npz")]

    def files(self, name: str) -> Sequence[Path]:
        return [self.root / f"{name}.npz"]

    def class_names(self, name: str) -> Sequence[str]:
        return sorted({str(label) for label in self._contents(name)[1].tolist()})

    def _contents(self, name: str) -> tuple[Array, Array, Array | None]:
        found: tuple[Array, Array, Array | None]
        found = self.once(name, lambda: contents(self.files(name)[0]))
        return found

    def load(self, name: str) -> Domain:
        x, y, test = self._contents(name)
        if x.dtype != np.uint8:
            x = x.astype(np.float32)
        return Domain(np.ascontiguousarray(x), self.labels(y), test)


def contents(path: Path) -> tuple[Array, Array, Array | None]:
    """Inputs, labels and test marks of a file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if {"x_train", "y_train", "x_test", "y_test"} <= held.keys():
        test: Array | None
        x, y = (np.concatenate([held[f"{one}_train"], held[f"{one}_test"]]) for one in "xy")
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
            "numbers and one label a row"
        )
    return x, y, None if test is None else test.astype(bool)
