"""Samples that stay on disk are those of memory, read ahead or not."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from da_framework.core.batch import Samples
from da_framework.datasets.memmap import MappedSamples
from da_framework.datasets.streams import Stream

ROWS = np.array([[7, 3, 0, 5], [1, 1, 8, 2]])
"""Positions within the first and the second file."""


@pytest.fixture
def arrays(tmp_path: Path) -> list[Any]:
    for number in range(2):
        x = np.random.default_rng(number).integers(0, 256, (9, 3, 4), dtype=np.uint8)
        np.save(tmp_path / f"{number}.npy", x)
    return [np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(2)]


@pytest.fixture
def mapped(arrays: list[Any]) -> MappedSamples:
    return MappedSamples(list(zip(arrays, ROWS, strict=True)))


@pytest.fixture
def expected(arrays: list[Any]) -> Tensor:
    return torch.as_tensor(np.concatenate([x[rows] for x, rows in zip(arrays, ROWS, strict=True)]))


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


def test_samples_are_those_of_the_files(mapped: MappedSamples, expected: Tensor) -> None:
    assert torch.equal(mapped[:], expected)
    assert torch.equal(mapped[rows(6, 0, 0, 3)], expected[[6, 0, 0, 3]])
    assert mapped.shape == expected.shape


def test_samples_of_one_file_are_too(arrays: list[Any]) -> None:
    one = MappedSamples([(arrays[0], ROWS[0])])
    assert torch.equal(one[rows(2, 2, 1)], torch.as_tensor(arrays[0][ROWS[0][[2, 2, 1]]]))
    assert torch.equal(one[1:3], torch.as_tensor(arrays[0][ROWS[0][1:3]]))


def test_what_is_read_ahead_is_read_once(
    mapped: MappedSamples, expected: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, wanted = MappedSamples._read, rows(4, 1)
    reads: list[Any] = []

    def counted(own: MappedSamples, asked: Any) -> Tensor:
        reads.append(asked)
        return read(own, asked)

    monkeypatch.setattr(MappedSamples, "_read", counted)
    mapped.read_ahead(wanted)
    assert torch.equal(mapped[wanted], expected[wanted])
    assert len(reads) == 1
    assert torch.equal(mapped[wanted], expected[wanted])  # given once, then read anew
    assert len(reads) == 2


def test_other_samples_than_those_read_ahead_are_read(
    mapped: MappedSamples, expected: Tensor
) -> None:
    mapped.read_ahead(rows(4, 1))
    assert torch.equal(mapped[rows(4, 2)], expected[[4, 2]])


@pytest.mark.parametrize("copied", [deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_do_not_wait_for_what_is_read(
    mapped: MappedSamples, expected: Tensor, copied: Callable[[Any], Any]
) -> None:
    wanted = rows(4, 1)
    mapped.read_ahead(wanted)
    assert torch.equal(copied(mapped)[wanted], expected[wanted])


def test_what_cannot_be_read_is_told_where_it_is_asked_for(mapped: MappedSamples) -> None:
    wanted = rows(99)
    mapped.read_ahead(wanted)
    with pytest.raises(IndexError):
        mapped[wanted]


@pytest.mark.parametrize("world", [1, 2])
def test_batches_are_those_of_samples_in_memory(
    mapped: MappedSamples, expected: Tensor, world: int
) -> None:
    domain = torch.arange(8) // 4
    columns = torch.zeros(8, dtype=torch.long), domain, torch.arange(8)
    streams = [
        Stream(Samples(x, *columns), 4, seed=1, role="source")  # type: ignore[arg-type]
        for x in (mapped, expected)
    ]
    for step in (0, 1, 2, 7, 3):  # in order, ahead and back
        for rank in range(world):
            actual, wanted = (stream.batch(step, rank, world) for stream in streams)
            assert all(map(torch.equal, actual, wanted))
