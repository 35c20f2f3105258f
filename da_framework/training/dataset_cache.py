"""Data sets that the jobs of a sweep in one process share: each is read once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework.config.schema import instantiate

if TYPE_CHECKING:
    from da_framework.datasets.base import Dataset

MOST = 4
"""Data sets that are kept."""
LARGE = 2**30
"""Bytes of samples in memory above which older ones are not."""
KEPT: "dict[str, tuple[Dataset, list[tuple[str, int, int]]]]" = {}
"""Data sets of the last jobs, by their configs; the latest last."""


def load_dataset(node: Mapping[str, Any]) -> "Dataset":
    """A data set of a config, as an earlier job has read it if its files are still the same."""
    # paths may be relative
    key = json.dumps([str(Path.cwd()), node], sort_keys=True, default=str)
    entry = KEPT.pop(key, None)
    if entry is None or entry[1] != file_stats(entry[0]):
        dataset: Dataset = instantiate(node)
        entry = dataset, file_stats(dataset)
    KEPT[key] = entry
    while len(KEPT) > MOST or (
        len(KEPT) > 1 and sum(kept.nbytes for kept, _ in KEPT.values()) > LARGE
    ):
        del KEPT[next(iter(KEPT))]
    return entry[0]


def file_stats(dataset: "Dataset") -> list[tuple[str, int, int]]:
    """The files that a data set is read from, with their times and sizes."""
    files = {file for name in dataset.domains for file in dataset.files(name)}
    if dataset.labelled is not None:
        files.add(Path(dataset.labelled))
    stats = {file: file.stat() for file in sorted(files) if file.is_file()}
    return [(str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats.items()]
