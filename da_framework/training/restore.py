"""A finished run, brought back: its config and its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from da_framework.config.allowlist import check_targets
from da_framework.core.errors import InputError, one_line
from da_framework.datasets.base import DomainRows
from da_framework.results import record as results


@dataclass(frozen=True)
class FinishedRun:
    """What is in the folder of a finished run.

    Attributes:
        record: what ``result.json`` holds.
        config: what it was built from, its data where they are now.
        weights: the checkpoint asked for.
    """

    record: dict[str, Any]
    config: dict[str, Any]
    weights: Path


def find_run(run: str, *, pick: str, data_dir: str | None) -> FinishedRun:
    """What is there of a run.

    Args:
        run: its folder.
        pick: which of its weights.
        data_dir: where its data is now; ``None``: where it was.

    Raises:
        InputError: there is no such run, or its record names code of unknown origin.
    """
    folder = Path(run)
    record = results.read_record(folder)
    if record is None:
        raise InputError(f"run={run}: there is no {results.RESULT} in this folder")
    weights = folder / "checkpoints" / f"{pick}.ckpt"
    if not weights.is_file():
        raise InputError(f"pick={pick}: {weights} is not there")
    check_targets(results.targets(record["config"]))
    config = dict(record["config"])
    if data_dir is not None and "data_dir" in config["dataset"]:
        config["dataset"] = config["dataset"] | {"data_dir": data_dir}
    return FinishedRun(record, config, weights)


def load_weights(module: nn.Module, weights: Path) -> None:
    """Puts a checkpoint's weights into what was built like it.

    Raises:
        InputError: the checkpoint is damaged or another network's.
    """
    try:
        module.load_state_dict(
            torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
        )
    except (RuntimeError, UnpicklingError, EOFError, KeyError) as error:
        reason = one_line(error)
        raise InputError(
            f"{weights} is damaged, or of another network or other inputs: {reason}"
        ) from None


def count_shared(some: Sequence[DomainRows], others: Sequence[DomainRows]) -> int:
    """How many rows are in both, each counted as often as it is in the one and in the other."""
    return sum(
        len(np.intersect1d(part.rows, own.rows))
        for part in some
        for own in others
        if own.domain == part.domain
    )
