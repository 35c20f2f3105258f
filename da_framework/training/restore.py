"""A finished run, brought back: its config and its weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from torch import nn

from da_framework.config.allowlist import check_record, trusted_names
from da_framework.config.external import resolve_external
from da_framework.config.schema import check_config, instantiate
from da_framework.config.settings import INIT_DEFAULTS
from da_framework.core.batch import Task
from da_framework.core.damage import explain_damage, is_there, read_torch
from da_framework.core.errors import InputError, UntypedError, listed
from da_framework.datasets.inference import RUN_KEYS
from da_framework.datasets.splits import DomainRows
from da_framework.methods.base import Method
from da_framework.networks.series import heed_ends
from da_framework.results.folder import RESULT, RunFolder
from da_framework.results.record_schema import schema_error
from da_framework.training.build import Run, build, network_maker
from da_framework.training.prediction import Model
from da_framework.training.warm_start import (
    former_samples,
    load_teachers,
    without_pretrained,
)

UNUSED = ("callback", "logger", "paper")
"""Parts of a record's config that nothing is built from where a run is brought back."""
MODEL = ("config.method.", "config.network.", *(f"config.dataset.{key}" for key in RUN_KEYS))
"""Where the keys are that a model is brought back by, without the data it was trained on."""
RECORD = "record of a run that can be brought back"
CHECKPOINT = "checkpoint of this network and these inputs"
ANOTHER = "another of this run's may be whole: pick=chosen, or pick=last"


@dataclass(frozen=True)
class FinishedRun:
    """What is in the folder of a finished run.

    Attributes:
        result: the file of the record.
        record: what it holds.
        config: what it was built from, its data where they are now, without what it names outside.
        weights: the checkpoint asked for.
    """

    result: Path
    record: dict[str, Any]
    config: dict[str, Any]
    weights: Path


def find_run(
    run: str,
    *,
    pick: str,
    data_dir: str | None = None,
    dataset: Mapping[str, Any] | None = None,
    trust: Sequence[Any] = (),
    needed: Callable[[str], bool] = lambda path: True,
) -> FinishedRun:
    """What is there of a run.

    Args:
        run: its folder.
        pick: which of its weights.
        data_dir: where its data is now; ``None``: where every command looks for data.
        dataset: keys of the data set that the command gives.
        trust: what the record may name beside what installed configs do: names, paths, models on a
            hub; or classes and functions themselves.
        needed: which keys of the record something is done with, by their paths.

    Raises:
        InputError: there is no such run, or its record names more than it may.
    """
    folder = finished_folder(run)
    record: Any = folder.read_record()
    if reason := schema_error(record):
        raise InputError(f"run={run}: {folder.result} is no {RECORD} ({reason})")
    weights = folder.checkpoint(pick)
    if pick not in record["target"]:
        raise InputError(
            f"pick={pick}: no score of the run's validator is finite; its weights are pick=last"
        )
    if not weights.is_file():
        raise InputError(f"pick={pick}: {weights} is not there")
    what = f"the record of {run}"
    with explain_damage(folder.result, RECORD):
        recorded = {key: part for key, part in record["config"].items() if key not in UNUSED}
        check_record(recorded, trust=trust, what=what)
        places = {} if data_dir is None else {"data_dir": data_dir}
        config = resolve_external(
            recorded, trust=trust, typed={**places, **(dataset or {})}, needed=needed, what=what
        )
        check_teachers(recorded, config, what)
    # weights are loaded: nothing begins with another run; and no file trusts further ones
    config |= {**INIT_DEFAULTS, "trust": trusted_names(trust)}
    return FinishedRun(folder.result, record, config, weights)


def rebuild(finished: FinishedRun, dataset: Mapping[str, Any] | None = None) -> Run:
    """What a run trained, built again with its data, without its weights.

    Args:
        finished: the run.
        dataset: keys of the data set to change.

    Raises:
        InputError: the record is damaged, or the data is not there.
    """
    changed = {"dataset": finished.config["dataset"] | dict(dataset or {})}
    with explain_damage(finished.result, RECORD):
        former = former_samples(finished.record)
        return build(finished.config | changed, initialise=False, former=former)


def check_teachers(recorded: Mapping[str, Any], config: Mapping[str, Any], what: str) -> None:
    """Asks for former runs of whose networks a model is made.

    Raises:
        InputError: nobody has typed them.
    """
    untyped = [run for run in recorded.get("teachers") or () if run not in config["teachers"]]
    if not untyped:
        return
    check_config({"method": recorded["method"]}, lambda method: None)
    if getattr(resolve_name(recorded["method"]["_target_"]), "keeps_teachers", False):
        raise UntypedError(
            f"{what} names {listed(untyped)} (config.teachers), and the model holds the networks "
            "of these runs",
            untyped,
        )


def finished_folder(run: str) -> RunFolder:
    """The folder of a finished run, whose record may yet be damaged.

    Raises:
        InputError: there is no record in it.
    """
    folder = RunFolder(Path(run))
    if not is_there(folder.result):
        raise InputError(f"run={run}: there is no {RESULT} in this folder")
    return folder


def load_weights(module: nn.Module, weights: Path) -> None:
    """Puts a checkpoint's weights into what was built like it.

    Raises:
        InputError: the checkpoint is damaged or another network's.
    """
    checkpoint = read_torch(weights, CHECKPOINT, mend=ANOTHER)
    with explain_damage(weights, CHECKPOINT, mend=ANOTHER):
        module.load_state_dict(checkpoint["state_dict"])
        for name, value in module.state_dict().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f"{name} is not finite")


def count_shared(some: Sequence[DomainRows], others: Sequence[DomainRows]) -> int:
    """How many rows are in both, each counted as often as it is in the one and in the other."""
    return sum(
        len(np.intersect1d(part.rows, own.rows))
        for part in some
        for own in others
        if own.domain == part.domain
    )


@dataclass(frozen=True, kw_only=True)
class TrainedModel(Model):
    """A finished run's model, which needs nothing of the data it was trained on.

    Attributes:
        run: record and config.
    """

    run: FinishedRun


def restore_model(
    run: str, *, pick: str, trust: Sequence[Any] = (), backbone: nn.Module | None = None
) -> TrainedModel:
    """A model brought back by the record of its run alone.

    Args:
        run: its folder.
        pick: which of its weights.
        trust: what the record may name beside what installed configs do, as in ``find_run``.
        backbone: a module like the one that the run was given, where it was given one.

    Raises:
        InputError: there is no such run, its record names more than it may, or its weights are
            damaged.
    """
    finished = find_run(run, pick=pick, trust=trust, needed=lambda path: path.startswith(MODEL))
    record, config = finished.record, finished.config
    parts = {name: config[name] for name in ("method", "network")}
    check_config(parts, lambda method, network: None)
    if "inputs" in record:
        with explain_damage(finished.result, RECORD):
            method, inputs = restore_method(record, config, backbone), record["inputs"]
    else:  # a record of before inputs stood in it
        built = rebuild(find_run(run, pick=pick, trust=trust))
        method, inputs = built.module.method, built.inputs()
    holder = nn.Module()
    holder.method = method
    load_weights(holder, finished.weights)
    unknown = ["unknown"] if method.setting == "open" else []
    return TrainedModel(
        run=finished,
        method=method.eval(),
        inputs=inputs,
        classes=(*record["classes"], *unknown),
    )


def restore_method(
    record: Mapping[str, Any], config: Mapping[str, Any], backbone: nn.Module | None = None
) -> Method:
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
    network = network_maker(without_pretrained(config["network"]), backbone)(
        task.shape, make.func.head_classes(len(task.classes)), task.widths
    )
    method: Method = make(network, task)
    if inputs.get("padded"):
        heed_ends(method)
    return method
