"""Whether there is room: asked before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from da_framework.core import room
from da_framework.core.array_cache import load_or_compute
from da_framework.core.errors import InputError
from da_framework.datasets.arrays import read_archive
from da_framework.datasets.msda import Denoising
from da_framework.datasets.table_files import read_table, unpacked_size
from da_framework.datasets.tokenization import token_ids


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of a thousand bytes."""

    class Disk:
        free = 1000

    monkeypatch.setattr(room, "free_memory", lambda: 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk)


@pytest.mark.usefixtures("full")
def test_what_is_larger_than_what_is_free_is_refused_with_its_size(tmp_path: Path) -> None:
    room.require_memory(1000, "a", mend="b")
    with pytest.raises(InputError, match=r"^a: 2\.0 GiB of memory, of which 0\.0 MiB are free: b$"):
        room.require_memory(2**31, "a", mend="b")
    folder = tmp_path / "not" / "there"
    room.require_disk(1000, folder, "a", mend="b")
    with pytest.raises(InputError, match=r"there: 2\.0 GiB of a are to be kept .* are free: b$"):
        room.require_disk(2**31, folder, "a", mend="b")
    assert not folder.exists()


@pytest.mark.usefixtures("full")
def test_every_reader_asks_first(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000))
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 500)
    cases: dict[str, Any] = {
        "are mapped": lambda: read_archive(tmp_path / "a.npz"),
        "fewer rows or columns": lambda: read_table(tmp_path / "a.csv"),
        "dataset.length": lambda: token_ids(
            ["a"] * 9, tokenizer="words", vocabulary=9, length=10**9, cache=None
        ),
        "denoise.layers": lambda: Denoising(layers=2, noise=0.5)(
            np.ones((9, 30)), np.ones((9, 30))
        ),
        "null keeps nothing": lambda: load_or_compute(
            tmp_path / "cache", "a", 500, lambda: np.zeros(500)
        ),
    }
    for reason, read in cases.items():
        with pytest.raises(InputError, match=reason):
            read()
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_packed_table_says_its_size(tmp_path: Path) -> None:
    import gzip

    with gzip.open(tmp_path / "a.csv.gz", "wb") as stream:
        stream.write(b"1,2\n" * 100_000)
    assert unpacked_size(tmp_path / "a.csv.gz") == 400_000
    (tmp_path / "b.csv.gz").write_bytes(b"ab")
    assert unpacked_size(tmp_path / "b.csv.gz") == 2


def test_the_lowest_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "cgroup" / "job" / "step"
    inner.mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/job/step\n")
    monkeypatch.setattr(room, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(room, "MEMBERSHIP", tmp_path / "membership")
    assert room.memory_limit() == psutil.virtual_memory().total
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("5000\n")
    assert room.memory_limit() == 5000
    (inner.parent / "memory.current").write_text("4000\n")
    (inner.parent / "memory.stat").write_text("anon 9\ninactive_file 300\n")
    assert room.free_memory() == 1300
    (tmp_path / "membership").unlink()
    assert room.memory_limit() == psutil.virtual_memory().total
