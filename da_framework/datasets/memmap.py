"""Samples that stay on disk."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from da_framework.core.batch import send
from da_framework.datasets.base import Array
from da_framework.datasets.splits import IntArray


class MappedSamples:
    """Samples of mapped files, indexed as a tensor is; ``x[:]`` reads all.

    Those that are asked for next can be read ahead, while a step works on those before them.

    Args:
        parts: mapped files, and positions of samples within each, one part after the other.

    Attributes:
        device: where samples are brought once they are read.
    """

    def __init__(self, parts: Sequence[tuple[Array, IntArray]]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable")  # nobody writes
            self.files = [torch.from_numpy(x) for x, _ in parts]
        numbers = [torch.full((len(rows),), number) for number, (_, rows) in enumerate(parts)]
        self.file = torch.cat(numbers)
        self.row = torch.cat([torch.as_tensor(rows) for _, rows in parts])
        self.shape = torch.Size([len(self.row), *self.files[0].shape[1:]])
        self.dtype = self.files[0].dtype
        self.device = torch.device("cpu")
        self._ahead: tuple[Tensor, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        ahead, self._ahead = self._ahead, None
        read = ahead[1].result() if ahead and ahead[0] is rows else self._read(rows)
        return send(read, self.device)

    def read_ahead(self, rows: Tensor) -> None:
        """Begins to read samples; to ask for them next, by this very tensor, gives what was read.

        A disk that is slow, or far away, then costs a step nothing while the step takes longer.
        """
        self._ahead = (rows, reader().submit(self._read, rows))

    def _read(self, rows: Tensor | slice) -> Tensor:
        rows = rows.cpu() if isinstance(rows, Tensor) else rows
        file, row = self.file[rows], self.row[rows]
        if len(self.files) == 1:
            return self.files[0].index_select(0, row)
        x = torch.empty((len(row), *self.shape[1:]), dtype=self.dtype)
        for number in torch.unique(file).tolist():
            here = file == number
            x[here] = self.files[number].index_select(0, row[here])
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Without what is being read: no copy waits for it."""
        return {**vars(self), "_ahead": None}

    def to(self, device: torch.device) -> "MappedSamples":
        """The same samples, brought to a device once they are read."""
        other = copy(self)
        other.device = device
        return other


@cache
def reader() -> ThreadPoolExecutor:
    """The thread that reads ahead, for all data sets of this process, one after the other."""
    return ThreadPoolExecutor(1, thread_name_prefix="read-ahead")


if hasattr(os, "register_at_fork"):
    # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=reader.cache_clear)
