"""A finished run, brought back: its config and its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from da_framework.config.allowlist import check_record
from da_framework.config.schema import check_config, instantiate
from da_framework.core.batch import UNLABELLED, Samples, Task
from da_framework.core.errors import InputError, one_line
from da_framework.datasets.splits import DomainRows
from da_framework.methods.base import Method
from da_framework.results.folder import RESULT, RunFolder
from da_framework.training.build import build
from da_framework.training.warm_start import load_teachers, without_pretrained

UNUSED = ("callback", "logger", "paper")
"""Parts of a record's config that nothing is built from where a run is brought back."""
NOTHING_FETCHED: dict[str, Any] = {"download": False, "mirrors": []}
"""Keys of data sets with which none is downloaded."""


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


def find_run(
    run: str, *, pick: str, data_dir: str | None, trust: Sequence[str] = ()
) -> FinishedRun:
    """What is there of a run.

    Args:
        run: its folder.
        pick: which of its weights.
        data_dir: where its data is now; ``None``: where it was.
        trust: what the record may name beside what installed configs do.

    Raises:
        InputError: there is no such run, or its record names more than it may.
    """
    folder = RunFolder(Path(run))
    record: Any = folder.read_record()
    if record is None:
        raise InputError(f"run={run}: there is no {RESULT} in this folder")
    weights = folder.checkpoint(pick)
    if pick not in record["target"]:
        raise InputError(
            f"pick={pick}: no score of the run's validator is finite; its weights are pick=last"
        )
    if not weights.is_file():
        raise InputError(f"pick={pick}: {weights} is not there")
    config = {key: part for key, part in record["config"].items() if key not in UNUSED}
    check_record(config, trust=trust)
    # what a file brings neither trusts further files nor fetches anything
    dataset = {key: NOTHING_FETCHED.get(key, value) for key, value in config["dataset"].items()}
    config |= {"trust": list(trust), "dataset": dataset}
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


@dataclass(frozen=True)
class TrainedModel:
    """A finished run's model, which needs nothing of the data it was trained on.

    Attributes:
        run: record and config.
        method: with the weights, in evaluation mode.
        inputs: what a row is.
        classes: names of its logits.
    """

    run: FinishedRun
    method: Method
    inputs: Mapping[str, Any]
    classes: tuple[str, ...]


def restore_model(run: str, *, pick: str, trust: Sequence[str] = ()) -> TrainedModel:
    """A model brought back by the record of its run alone.

    Raises:
        InputError: there is no such run, or its weights are damaged.
    """
    finished = find_run(run, pick=pick, data_dir=None, trust=trust)
    record, config = finished.record, finished.config
    parts = {name: config[name] for name in ("method", "network")}
    check_config(parts, lambda method, network: None)
    if "inputs" in record:
        method, inputs = restore_method(record, config), record["inputs"]
    else:  # a record of before inputs stood in it
        built = build(config, initialise=False)
        method, inputs = built.module.method, built.inputs(built.domains.dataset)
    holder = nn.Module()
    holder.method = method
    load_weights(holder, finished.weights)
    unknown = ["unknown"] if method.setting == "open" else []
    return TrainedModel(finished, method.eval(), inputs, (*record["classes"], *unknown))


def restore_method(record: Mapping[str, Any], config: Mapping[str, Any]) -> Method:
    """The method of a record, without its weights."""
    inputs, (source, target) = record["inputs"], record["domains"].values()
    task = Task(
        classes=tuple(record["classes"]),
        domains=(*source, *target),
        rows={role: count for role, count in record["rows"].items() if role != "test"},
        shape=tuple(inputs["widest"]),
        sources=len(source),
        widths=tuple(inputs["widths"]),
    )
    if runs := [run for run in config.get("teachers", ()) if Path(run).is_dir()]:
        task = replace(
            task, teachers=load_teachers(runs, task.shape, task.widths, trust=config["trust"])
        )
    make = instantiate(config["method"])
    network = instantiate(without_pretrained(config["network"]))(
        task.shape, make.func.head_classes(len(task.classes)), task.widths
    )
    method: Method = make(network, task)
    return method


def as_target_samples(x: torch.Tensor, model: TrainedModel) -> Samples:
    """Rows of the last target, with zeros behind where another domain's are longer."""
    if missing := model.inputs["widest"][0] - x.shape[1] if model.inputs["widths"] else 0:
        x = nn.functional.pad(x, (0, missing))
    domains = model.run.record["domains"]
    last = len(domains["source"]) + len(domains["target"]) - 1
    count = torch.arange(len(x), device=x.device)
    return Samples(x, torch.full_like(count, UNLABELLED), torch.full_like(count, last), count)
