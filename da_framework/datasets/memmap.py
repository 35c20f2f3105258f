"""Samples that stay on disk."""

import warnings
from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from da_framework.datasets.base import Array
from da_framework.datasets.splits import IntArray


class MappedSamples:
    """Samples of mapped files, indexed as a tensor is; ``x[:]`` reads all.

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

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        rows = rows.cpu() if isinstance(rows, Tensor) else rows
        file, row = self.file[rows], self.row[rows]
        x = torch.empty((len(row), *self.shape[1:]), dtype=self.dtype)
        for number in torch.unique(file).tolist():
            here = file == number
            x[here] = self.files[number].index_select(0, row[here])
        return x.to(self.device)

    def to(self, device: torch.device) -> "MappedSamples":
        """The same samples, brought to a device once they are read."""
        other = copy(self)
        other.device = device
        return other
