"""``da train``: config -> objects -> fit -> score -> result.json."""

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework import initial, results
from da_framework.config import check, instantiate
from da_framework.errors import DivergedError, InputError, listed

if TYPE_CHECKING:
    from da_framework.build import Run
    from da_framework.datasets.base import Dataset

log = logging.getLogger(__name__)

MOST = 4
"""Data sets that are kept."""
KEPT: "dict[str, tuple[Dataset, list[tuple[str, int, int]]]]" = {}
"""Data sets of the last jobs, by their configs; the latest last."""

PICTURES = ("curves", "confusion", "tsne")


def train(
    config: Mapping[str, Any], folder: Path, *, command: str, choices: Mapping[str, str | None]
) -> dict[str, Any]:
    """Trains as a config says, or shows the result if it is there already.

    Args:
        config: resolved.
        folder: of the run.
        command: that repeats it.
        choices: the names by which the parts were chosen, for the record.

    Returns:
        The record of the run; empty on all processes but the first.

    Raises:
        InputError: something given cannot be used.
        DivergedError: a loss or weight is no longer finite.
    """
    begun = time.time()
    try:
        check({"dataset": config["dataset"]}, lambda dataset: None)
    except InputError:
        from da_framework.build import Settings

        check(config, Settings)  # says it together with whatever else is wrong
        raise
    dataset = read_once(config["dataset"])
    data = {name: dataset.fingerprint(name) for name in dataset.domains}
    start = initial.fingerprint(config.get("init_from"), config.get("teachers") or ())
    key = results.key(config, data, start=start)
    done = results.read(folder)
    if done and done["key"] == key and not config["again"]:
        log.info("already done; again=true runs it once more")
        return done

    # torch is imported from here on: showing a result does not wait for it
    from da_framework.build import build

    run = build(config, dataset)
    first = config["trainer"]["devices"] == 1 or process_rank() == 0
    if not first:
        fit(run, config, folder, first=False)
        return {}
    with results.alone(folder):
        if aside := results.claim(folder, key, again=config["again"]):
            log.info("another run was in this folder: moved to %s", aside)
        fit(run, config, folder, first=True)
        record = {
            "key": key,
            "command": command,
            "choices": dict(choices),
            "config": dict(config),
            "data": data,
            "code": results.code_hash(config),
            "seconds": {"training": run.module.seconds, "all": time.time() - begun},
            **outcome(run),
        }
        results.write(folder, record)
    return record


def read_once(node: Mapping[str, Any]) -> "Dataset":
    """A data set; the jobs of a sweep in this process share what they have read.

    A file that has changed since is read again.
    """
    # paths may be relative
    key = json.dumps([str(Path.cwd()), node], sort_keys=True, default=str)
    found = KEPT.pop(key, None)
    if found is None or found[1] != stamped(found[0]):
        dataset: Dataset = instantiate(node)
        found = dataset, stamped(dataset)
    KEPT[key] = found
    while len(KEPT) > MOST:
        del KEPT[next(iter(KEPT))]
    return found[0]


def stamped(dataset: "Dataset") -> list[tuple[str, int, int]]:
    """The files that a data set is read from, with their times and sizes."""
    files = {file for name in dataset.domains for file in dataset.files(name) if file.is_file()}
    stats = {file: file.stat() for file in sorted(files)}
    return [(str(file), own.st_mtime_ns, own.st_size) for file, own in stats.items()]


def outcome(run: "Run") -> dict[str, Any]:
    """What a trained run adds to its record: the three numbers, and what they stand on."""
    module, dataset = run.module, run.domains.dataset
    return {
        "baseline": module.method.baseline,
        "domains": {"source": dataset.source, "target": dataset.target},
        "classes": dataset.known,
        "rows": {**run.domains.task.rows, "test": len(run.domains.oracle)},
        "environment": {**results.environment(), "device": str(module.device)},
        "steps": module.step,
        "peak_memory_mib": peak_memory(),
        "target": {
            pick: {"step": own["step"], "score": own["score"], **own["target"]}
            for pick, own in module.picks.items()
        },
        "source": {pick: own["source"] for pick, own in module.picks.items() if "source" in own},
        "curve": curve(module.history),
        "verdicts": [{"kind": kind, **own} for kind, own in module.verdicts.items()],
        "note": "target.oracle is the best evaluation by target test labels: no method may use it",
    }


def curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each evaluation: its figures, and those of what watched it."""
    rows: dict[int, dict[str, Any]] = {}
    for row in history:
        if any(name != "step" and not name.startswith("train/") for name in row):
            rows.setdefault(row["step"], {}).update(row)
    return list(rows.values())


def fit(run: "Run", config: Mapping[str, Any], folder: Path, *, first: bool) -> None:
    """Trains, from the last checkpoint if there is one, and writes what is seen on the way."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from da_framework.build import build_trainer
    from da_framework.callbacks.checkpoints import Checkpoints
    from da_framework.callbacks.history import History
    from da_framework.callbacks.progress import ProgressBar
    from da_framework.loggers import close

    strategy = str(config["trainer"]["strategy"])
    if strategy.startswith(("ddp_fork", "ddp_spawn", "ddp_notebook")):
        raise InputError(
            f"trainer.strategy={strategy} trains in copies of this process, whose figures are lost "
            "with them; trainer.strategy=ddp keeps them"
        )
    callbacks = [instantiate(node) for node in (config.get("callback") or {}).values()]
    # checkpoints first, so that the last is there when others draw; the history last: with all
    # that others read
    callbacks = [Checkpoints(str(folder)), *callbacks, History(str(folder))]
    loggers = [instantiate(node) for node in (config.get("logger") or {}).values()] if first else []
    last = folder / "checkpoints" / "last.ckpt"
    try:
        trainer = build_trainer(
            config, callbacks=[*callbacks, ProgressBar(config["steps"])], loggers=loggers
        )
        # asked for before there are processes, so that one message says what they cannot share
        run.domains.batch(0, 0, trainer.world_size)
        for logger in loggers:
            logger.log_hyperparams(dict(config))
        resume = str(sound(last)) if last.is_file() else None
        if first:
            announce(run, resume)
        trainer.fit(run.module, datamodule=run.domains, ckpt_path=resume)
        if run.module.step < run.module.steps:
            raise InputError(
                f"training ended at step {run.module.step} of {run.module.steps}: one of the keys "
                "of trainer stopped it; without it, the same command continues"
            )
        show_in(loggers, run, folder)
    except DivergedError as error:
        kept = f"last good checkpoint: {last}" if last.is_file() else "no checkpoint was due yet"
        mend = "lower optimizer.lr or method.weight, or set optimizer.clip=1.0"
        raise DivergedError(f"{error}; {kept}; {mend}") from None
    except MisconfigurationException as error:
        raise InputError(f"trainer: {error}") from error
    except SystemExit:  # Lightning's answer to an interrupt
        raise KeyboardInterrupt from None
    finally:
        close(loggers)


def show_in(loggers: list[Any], run: "Run", folder: Path) -> None:
    """The end of a run for those who watch it elsewhere: the three numbers, and the pictures."""
    picks = run.module.picks
    verdicts = [[kind, own["step"], own["words"]] for kind, own in run.module.verdicts.items()]
    accuracies = {f"target/{pick}": own["target"]["accuracy"] for pick, own in picks.items()}
    for logger in loggers:
        logger.log_metrics(accuracies)
        if verdicts and hasattr(logger, "log_text"):
            logger.log_text("verdicts", columns=["kind", "step", "words"], data=verdicts)
        if hasattr(logger, "log_image"):
            for name in PICTURES:
                if (folder / f"{name}.png").is_file():
                    logger.log_image(name, [str(folder / f"{name}.png")])


def announce(run: "Run", resume: str | None) -> None:
    """Says what is trained on what, and from where."""
    dataset, task = run.domains.dataset, run.domains.task
    sides = " -> ".join("+".join(side) or "nothing" for side in (dataset.source, dataset.target))
    rows = ", ".join(f"{count} {role}" for role, count in task.rows.items())
    log.info("%s, %s; training rows: %s", sides, dataset.protocol, rows)
    for role, stream in run.domains.streams.items():
        if task.rows[role] < stream.size:
            log.info("%s has fewer rows than a batch, which holds some more than once", role)
    if task.widths:
        log.info("%s: each is read by an input adapter of its own", task.columns)
        if "target_labelled" not in task.rows:
            log.info(
                "warning: no labelled target row is learnt from: only init_from=<run> could know "
                "what its columns mean; dataset.labels_per_class=3 labels some"
            )
    if dataset.unknown and run.module.method.setting != "open":
        log.info(
            "the source has not the classes %s: their rows count as errors, unless the method can "
            "say unknown",
            listed(dataset.unknown),
        )
    if resume:
        log.info("continuing from %s", resume)


def sound(checkpoint: Path) -> Path:
    """A checkpoint that can be read.

    Raises:
        InputError: it is damaged.
    """
    import torch

    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)["adaptation"]
    except Exception as error:  # what a damaged file makes of itself has no type
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{checkpoint} is damaged ({type(error).__name__}: {reason}); remove it and the same "
            "command begins anew"
        ) from None
    return checkpoint


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1024**2 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux


def process_rank() -> int:
    """This process's number among those that train together, known before they meet."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
