"""``da train``: config -> objects -> fit -> score -> result.json."""

import logging
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework import results
from da_framework.config import check, instantiate
from da_framework.errors import DivergedError, InputError

if TYPE_CHECKING:
    from da_framework.build import Run
    from da_framework.datasets.base import Dataset

log = logging.getLogger(__name__)

PICTURES = ("curves", "confusion", "tsne")
PICKS = ("last", "chosen", "oracle")


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
    dataset: Dataset = instantiate(config["dataset"])
    data = {name: dataset.fingerprint(name) for name in dataset.domains}
    key = results.key(config, data)
    done = results.read(folder)
    if done and done["key"] == key and not config["again"]:
        log.info("already done; again=true runs it once more")
        return done

    # torch is imported from here on: showing a result does not wait for it
    from da_framework.build import build

    run = build(config, dataset)
    first = process_rank() == 0
    if first:
        aside = results.claim(folder, key, again=config["again"])
        if aside:
            log.info("another run was in this folder: moved to %s", aside)
    seconds = fit(run, config, folder, first=first)
    if not first:
        return {}
    module = run.module
    record = {
        "key": key,
        "command": command,
        "choices": dict(choices),
        "config": dict(config),
        "domains": {"source": dataset.source, "target": dataset.target},
        "classes": dataset.classes,
        "rows": {**run.domains.task.rows, "test": len(run.domains.oracle)},
        "data": data,
        "code": results.code_hash(config),
        "environment": {**results.environment(), "device": str(module.device)},
        "steps": module.step,
        "seconds": {"training": seconds, "all": time.time() - begun},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "target": {
            pick: {"step": own["step"], "score": own["score"], **own["target"]}
            for pick in PICKS
            for own in [module.picks[pick]]
        },
        "source": {
            pick: module.picks[pick]["source"] for pick in PICKS if "source" in module.picks[pick]
        },
        "curve": [row for row in module.history if "score" in row],
        "note": "target.oracle is the best evaluation by target test labels: no method may use it",
    }
    results.write(folder, record)
    return record


def fit(run: "Run", config: Mapping[str, Any], folder: Path, *, first: bool) -> float:
    """Trains, from the last checkpoint if there is one, and writes what is seen on the way.

    Returns:
        Seconds it took.
    """
    from da_framework.build import build_trainer
    from da_framework.callbacks.checkpoints import Checkpoints
    from da_framework.callbacks.progress import ProgressBar
    from da_framework.loggers import close

    callbacks = [instantiate(node) for node in (config.get("callback") or {}).values()]
    loggers = [instantiate(node) for node in (config.get("logger") or {}).values()] if first else []
    begun = time.time()
    strategy = str(config["trainer"]["strategy"])
    if strategy.startswith(("ddp_fork", "ddp_spawn", "ddp_notebook")):
        raise InputError(
            f"trainer.strategy={strategy} trains in copies of this process, whose figures are lost "
            "with them; trainer.strategy=ddp keeps them"
        )
    try:
        trainer = build_trainer(
            config,
            callbacks=[*callbacks, Checkpoints(str(folder)), ProgressBar(config["steps"])],
            loggers=loggers,
        )
        # asked for before there are processes, so that one message says what they cannot share
        run.domains.batch(0, 0, trainer.world_size)
        for logger in loggers:
            logger.log_hyperparams(dict(config))
        last = folder / "checkpoints" / "last.ckpt"
        resume = str(last) if last.is_file() else None
        if first:
            announce(run, resume)
        try:
            trainer.fit(run.module, datamodule=run.domains, ckpt_path=resume)
        except DivergedError as error:
            kept = (
                f"the last good checkpoint is {last}"
                if last.is_file()
                else "no checkpoint was due yet"
            )
            mend = "Lower optimizer.lr or method.weight, or set optimizer.clip=1.0"
            raise DivergedError(f"{error}; {kept}. {mend}") from None
        if first:
            results.write_text(folder / "metrics.csv", csv(run.module.history))
        show_in(loggers, run, folder)
    finally:
        close(loggers)
    return time.time() - begun


def show_in(loggers: list[Any], run: "Run", folder: Path) -> None:
    """The end of a run for those who watch it elsewhere: the three numbers, and the pictures."""
    accuracies = {f"target/{pick}": run.module.picks[pick]["target"]["accuracy"] for pick in PICKS}
    for logger in loggers:
        logger.log_metrics(accuracies)
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
    for role, count in task.rows.items():
        if count < dataset.batch_size[role]:
            log.info("%s has fewer rows than a batch, which holds some more than once", role)
    if resume:
        log.info("continuing from %s", resume)


def csv(history: list[dict[str, Any]]) -> str:
    """The history as a table: a row a step, a column a figure."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    lines = [",".join(columns)]
    lines += [",".join(str(row.get(name, "")) for name in columns) for row in history]
    return "\n".join(lines) + "\n"


def process_rank() -> int:
    """This process's number among those that train together, known before they meet."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
