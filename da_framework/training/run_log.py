"""What a run says of itself: on the terminal before it trains, and to loggers at both ends."""

import logging
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from da_framework.callbacks.base import Callback, Table
from da_framework.callbacks.guard import describe
from da_framework.core.errors import listed
from da_framework.core.labels import UNLABELLED
from da_framework.core.text import printable, printable_tree
from da_framework.datasets.base import Dataset
from da_framework.results.cells import sides
from da_framework.results.folder import RunFolder
from da_framework.results.record import code_hash
from da_framework.training.build import Run
from da_framework.training.loggers.mlflow import send_verified
from da_framework.training.loggers.tracker import Tracker
from da_framework.training.loggers.wandb import Wandb

log = logging.getLogger(__name__)

MEASURES = ("precision", "recall", "f1")
"""Of each class, as loggers show them."""
WANDB_KEYS = set(signature(Wandb).parameters)
"""What a recorded logger is begun with once more."""


def log_setup(run: Run, resume: Path | None, notes: Sequence[str]) -> None:
    """Says what is trained on what, from where, and what is wrong with what was there."""
    dataset, task = run.domains.dataset, run.domains.task
    rows = ", ".join(f"{count} {role}" for role, count in task.rows.items())
    log.info("%s, %s; training samples: %s", pair_name(dataset), dataset.protocol, rows)
    log.info("%s", describe_training(run))
    if note := describe_labels(run):
        log.info("%s", note)
    if dataset.storage_note:
        log.info("%s", dataset.storage_note)
    for role, stream in run.domains.streams.items():
        if task.rows[role] < stream.size:
            log.info("%s has fewer samples than a batch, which holds some more than once", role)
    if count := len(dataset.answered_names()):
        log.warning(
            "warning: %d labels that an audit has asked for are learnt from (dataset.labelled): "
            "no verdict on these samples holds for this run, and da audit will give none",
            count,
        )
    if task.widths:
        log.info("%s: each is read by an input adapter of its own", task.columns)
        if "target_labelled" not in task.rows:
            log.info(
                "warning: no labelled target row is learnt from: only init_from=runs/... could "
                "know what its columns mean; dataset.labels_per_class=3 labels some"
            )
    if dataset.unknown and run.module.method.setting != "open":
        log.info(
            "the source does not have the classes %s: their samples count as errors, unless the "
            "method can say unknown",
            listed(dataset.unknown),
        )
    if dataset.unknown and not {*dataset.known} & {*(dataset.target_classes or dataset.classes)}:
        log.warning(
            "warning: no class of the target is one of the source's: do %s say what its samples "
            "are? A target without labels has no column of labels and no y; its images lie in no "
            "folder, or in one called unlabelled",
            listed(dataset.unknown),
        )
    if not dataset.unknown and run.module.method.setting == "open":
        log.info(
            "warning: %s is for a target with classes that the source does not have, and none is "
            "known here: whatever it calls unknown counts as an error",
            type(run.module.method).__name__,
        )
    known = {name.casefold() for name in dataset.known}
    if alike := [name for name in dataset.unknown if name.casefold() in known]:
        log.info(
            "warning: %s is written otherwise in the source, and so another class: rename one",
            listed(alike),
        )
    for note in notes:
        log.warning("warning: %s", note)
    if resume:
        log.info("continuing from %s", resume)


def describe_training(run: Run) -> str:
    """The size of what is trained, and how long."""
    method = run.module.method
    network, whole = (
        sum(weight.numel() for weight in part.parameters()) for part in (method.network, method)
    )
    size = f"network of {network:,} parameters"
    if whole != network:
        size += f", {whole:,} with what the method adds"
    if method.closed_form:
        return f"{size}, fitted at once"
    batch = " + ".join(f"{stream.size} {role}" for role, stream in run.domains.streams.items())
    domains, every = run.domains, min(run.module.evaluate_every, run.module.steps)
    judged = sum(len(samples.y) for samples in domains.validation.values())
    if domains.test is not domains.validation.get("target"):
        judged += len(domains.test.y)
    return (
        f"{size}; {run.module.steps:,} steps of {batch} samples, after every {every:,} an "
        f"evaluation of {judged:,}"
    )


def describe_labels(run: Run) -> str:
    """How many test samples have a label, where some have none."""
    dataset, oracle = run.domains.dataset, run.domains.oracle
    names, labelled = listed(dataset.target), int((oracle != UNLABELLED).sum())
    if labelled == len(oracle):
        return ""
    if labelled:
        count = f"{labelled} of {len(oracle)} test samples of {names}"
        return f"{count} have a label: accuracy is of these"
    wasted = dataset.protocol == "inductive"
    return (
        f"no test sample of {names} has a label: accuracy is not known, the validator alone chooses"
        + ("; dataset.protocol=transductive trains on the test samples as well" if wasted else "")
    )


def log_start(loggers: Sequence[Any], run: Run, config: Mapping[str, Any]) -> None:
    """What is known of a run from the start, for those who watch it elsewhere."""
    for logger in loggers:
        logger.log_hyperparams(printable_tree({**config, "code": code_hash(config)}))
        if isinstance(logger, Tracker):
            logger.log_tag("domains", pair_name(run.domains.dataset))


def log_summary(
    loggers: Sequence[Any], run: Run, folder: RunFolder, callbacks: Sequence[Any]
) -> None:
    """The end of a run: the three numbers; with W&B and MLflow all else that it leaves.

    Args:
        loggers: all of them.
        run: after it was fitted.
        folder: of the run.
        callbacks: that watched it, whose tables are shown as well.
    """
    picks, step = run.module.picks, run.module.step
    accuracies = {
        f"target/{name}": pick["target"]["accuracy"]
        for name, pick in picks.items()
        if "accuracy" in pick["target"]
    }
    for logger in loggers:
        logger.log_metrics(accuracies, step=step)
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    tables = collect_tables(run, callbacks) if trackers else {}
    for tracker in trackers:
        tracker.ensure()  # here, since a client would wait long for each of these
        tracker.log_figures(folder.drawn_figures(), step)
        for name, table in tables.items():
            tracker.log_rows(name, table, step)
        tracker.log_checkpoints(picked_checkpoints(run, folder))


def collect_tables(run: Run, callbacks: Sequence[Any]) -> dict[str, Table]:
    """The tables of a run, by name: of its classes, what was ill, and those of what watched it."""
    tables = {"classes": Table(["pick", "class", *MEASURES], class_rows(run))}
    if verdicts := verdict_rows(run):
        tables["verdicts"] = Table(["kind", "step", "words"], verdicts)
    for callback in callbacks:
        if isinstance(callback, Callback):
            try:
                tables |= callback.tables()
            except Exception as error:  # what a callback does may fail, and the run is done
                log.warning("warning: %s", describe(callback, "tables", error))
    return tables


def log_verified(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """Sends what an audit has found to the run at W&B and in MLflow, where it was logged there.

    Out of reach of W&B it is kept in the run's folder, for ``da sync``.
    """
    send_verified(folder, summary)
    record: Any = folder.read_record()
    node = (record["config"].get("logger") or {}).get("wandb")
    if node is None or not folder.wandb_id.is_file():
        return
    keys = {key: node[key] for key in WANDB_KEYS if key in node}
    tags = [*keys["tags"], name_sides(*sides(record))]
    logger = Wandb(**{**keys, "folder": str(folder.path), "tags": tags})
    logger.log_summary(summary)
    logger.finish(done=True)


def class_rows(run: Run) -> list[list[Any]]:
    """The figures of each class that the target has labelled samples of, for each pick."""
    names = (*run.domains.task.classes, "unknown")
    return [
        [name, printable(label), *figures]
        for name, pick in run.module.picks.items()
        for label, *figures in zip(
            names,
            *(pick["target"].get(f"{measure}_per_class", ()) for measure in MEASURES),
            strict=False,  # the unknown is there in the open setting alone
        )
        if figures[MEASURES.index("recall")] is not None
    ]


def verdict_rows(run: Run) -> list[list[Any]]:
    """What was ill, when it was first seen, and in words."""
    verdicts = run.module.verdicts.items()
    return [[kind, verdict["step"], printable(verdict["words"])] for kind, verdict in verdicts]


def picked_checkpoints(run: Run, folder: RunFolder) -> dict[Path, list[str]]:
    """The checkpoints of the last and the chosen step; one file where they are the same."""
    files: dict[Path, list[str]] = {}
    for name in ("last", "chosen"):
        if name not in run.module.picks:
            continue
        same = run.module.picks[name]["step"] == run.module.step
        files.setdefault(folder.checkpoint("last" if same else name), []).append(name)
    return files


def pair_name(dataset: Dataset) -> str:
    """What is adapted to what, in a word."""
    return name_sides(dataset.source, dataset.target)


def name_sides(*names: Sequence[str]) -> str:
    """What is adapted to what, by the names of the domains."""
    return " -> ".join("+".join(map(printable, side)) or "nothing" for side in names)


def close_loggers(loggers: Sequence[Any], *, done: bool) -> None:
    """Ends their runs, so that the next job in this process begins one of its own.

    Args:
        loggers: all of them.
        done: whether training came to its end.
    """
    for logger in loggers:
        logger.finalize("success" if done else "failed")
        if isinstance(logger, Tracker):
            logger.finish(done=done)
