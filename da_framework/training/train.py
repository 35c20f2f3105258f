"""``da train``: config -> objects -> fit -> score -> result.json."""

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from da_framework.config.schema import check_config, instantiate
from da_framework.core.errors import DivergedError, InputError, PreemptedError, listed, one_line
from da_framework.core.files import run_lock, write_text
from da_framework.core.types import ConfigNode
from da_framework.results import record as results
from da_framework.training import warm_start as initial

if TYPE_CHECKING:
    from da_framework.callbacks.base import Callback
    from da_framework.datasets.base import Dataset
    from da_framework.training.build import Run

log = logging.getLogger(__name__)

MOST = 4
"""Data sets that are kept."""
LARGE = 2**30
"""Bytes of rows in memory above which older ones are not."""
KEPT: "dict[str, tuple[Dataset, list[tuple[str, int, int]]]]" = {}
"""Data sets of the last jobs, by their configs; the latest last."""

LISTENING: "list[Callback]" = []
"""Callbacks of whoever trains by command in this process, beside those of the config."""

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
        PreemptedError: a signal ended training.
    """
    begun, cpu = time.time(), time.process_time()
    try:
        check_config({"dataset": config["dataset"]}, read_alone)
    except InputError:
        from da_framework.config.settings import Settings

        check_config(config, Settings)  # says it together with whatever else is wrong
        raise
    dataset = load_dataset(config["dataset"])
    data = {name: dataset.fingerprint(name) for name in dataset.domains}
    key = results.run_key(config, data, start=initial.weights_fingerprint(config))
    done = results.read_record(folder)
    if done and done["key"] == key and not config["again"]:
        log.info("already done; again=true runs it once more")
        return done

    # torch is imported from here on: showing a result does not wait for it
    from da_framework.training.build import build

    with within_memory(config):
        run = build(config, dataset)
    first = config["trainer"]["devices"] == 1 or process_rank() == 0
    if not first:
        with suppress(PreemptedError), within_memory(config):  # which the first process says
            fit(run, config, folder, first=False)
        return {}
    with run_lock(folder):
        if aside := results.claim_folder(folder, key, again=config["again"]):
            log.info("another run was in this folder: moved to %s", aside)
        (folder / results.DIVERGED).unlink(missing_ok=True)
        with within_memory(config):
            fit(run, config, folder, first=True)
        record = {
            "key": key,
            "command": command,
            "choices": dict(choices),
            "config": dict(config),
            "data": data,
            "inputs": run.inputs(dataset),
            "licences": {name: dataset.licence(name) for name in dataset.domains},
            "code": results.code_hash(config),
            "seconds": {
                "training": run.module.seconds,
                "all": time.time() - begun,
                "cpu": time.process_time() - cpu,
            },
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **summarize(run),
        }
        results.write_record(folder, record)
        # from here on, nothing continues
        (folder / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)
    return record


def read_alone(dataset: ConfigNode) -> None:
    """The one key of a data set's own check."""


def load_dataset(node: Mapping[str, Any]) -> "Dataset":
    """A data set; the jobs of a sweep in this process share what they have read.

    A file that has changed since is read again.
    """
    # paths may be relative
    key = json.dumps([str(Path.cwd()), node], sort_keys=True, default=str)
    found = KEPT.pop(key, None)
    if found is None or found[1] != file_stats(found[0]):
        dataset: Dataset = instantiate(node)
        found = dataset, file_stats(dataset)
    KEPT[key] = found
    while len(KEPT) > MOST or (
        len(KEPT) > 1 and sum(own.nbytes for own, _ in KEPT.values()) > LARGE
    ):
        del KEPT[next(iter(KEPT))]
    return found[0]


def file_stats(dataset: "Dataset") -> list[tuple[str, int, int]]:
    """The files that a data set is read from, with their times and sizes."""
    files = {file for name in dataset.domains for file in dataset.files(name) if file.is_file()}
    stats = {file: file.stat() for file in sorted(files)}
    return [(str(file), own.st_mtime_ns, own.st_size) for file, own in stats.items()]


def summarize(run: "Run") -> dict[str, Any]:
    """What a trained run adds to its record: the three numbers, and what they stand on."""
    module, dataset = run.module, run.domains.dataset
    return {
        "baseline": module.method.baseline,
        "domains": {"source": dataset.source, "target": dataset.target},
        "classes": dataset.known,
        "rows": {**run.domains.task.rows, "test": len(run.domains.oracle)},
        "skipped": dataset.skipped,
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

    from da_framework.callbacks.checkpoints import Checkpoints
    from da_framework.callbacks.history import History
    from da_framework.callbacks.preemption import Preemption
    from da_framework.callbacks.progress import ProgressBar
    from da_framework.training.loggers.wandb import close_loggers
    from da_framework.training.trainer import build_trainer

    strategy = str(config["trainer"]["strategy"])
    if strategy.startswith(("ddp_fork", "ddp_spawn", "ddp_notebook")):
        raise InputError(
            f"trainer.strategy={strategy} trains in copies of this process, whose figures are lost "
            "with them; trainer.strategy=ddp keeps them"
        )
    callbacks = [instantiate(node) for node in (config.get("callback") or {}).values()]
    # first, so that the last checkpoint is there when others draw
    own = [kind(str(folder)) for kind in (Checkpoints, Preemption)]
    loggers: list[Any] = []
    try:
        for node in (config.get("logger") or {}).values() if first else ():
            loggers.append(instantiate(node))  # one by one: if the next fails, this one is closed
        trainer = build_trainer(
            config,
            # the history after those whose readings are part of it
            callbacks=[
                *(*own, *callbacks, History(str(folder))),
                *(*LISTENING, ProgressBar(config["steps"])),
            ],
            loggers=loggers,
        )
        # asked for before there are processes, so that one message says what they cannot share
        run.domains.batch(0, 0, trainer.world_size)
        log_start(loggers, run, config)
        resume, damaged = latest_valid_checkpoint(folder)
        if first:
            log_setup(run, resume, damaged)
        trainer.fit(run.module, datamodule=run.domains, ckpt_path=resume, weights_only=True)
        if run.module.step < run.module.steps:
            raise InputError(
                f"training ended at step {run.module.step} of {run.module.steps}: one of the keys "
                "of trainer stopped it; without it, the same command continues"
            )
        log_summary(loggers, run, folder)
    except DivergedError as error:
        good = next((file for file in checkpoints(folder)), None)
        kept = f"last good checkpoint: {good}" if good else "no checkpoint was due yet"
        if first:
            write_text(folder / results.DIVERGED, f"{error}; {kept}\n")
        mend = "lower optimizer.lr or method.weight, or set optimizer.clip=1.0"
        raise DivergedError(f"{error}; {kept}; {mend}") from None
    except MisconfigurationException as error:
        raise InputError(f"trainer: {error}") from error
    except SystemExit:  # Lightning's answer to an interrupt
        raise KeyboardInterrupt from None
    finally:
        close_loggers(loggers, done=run.module.step == run.module.steps)


def log_start(loggers: list[Any], run: "Run", config: Mapping[str, Any]) -> None:
    """What is known of a run from the start, for those who watch it elsewhere."""
    for logger in loggers:
        logger.log_hyperparams({**config, "code": results.code_hash(config)})
        if hasattr(logger, "log_tag"):
            logger.log_tag(pair_name(run.domains.dataset))


def log_summary(loggers: list[Any], run: "Run", folder: Path) -> None:
    """The end of a run: the three numbers; with W&B the pictures, classes and checkpoints."""
    from da_framework.training.loggers.wandb import Wandb

    picks, step = run.module.picks, run.module.step
    verdicts = [[kind, own["step"], own["words"]] for kind, own in run.module.verdicts.items()]
    accuracies = {f"target/{pick}": own["target"]["accuracy"] for pick, own in picks.items()}
    pictures = {name: folder / f"{name}.png" for name in PICTURES}
    pictures = {name: file for name, file in pictures.items() if file.is_file()}
    measures = ("precision", "recall", "f1")
    classes = [
        [pick, label, *figures]
        for pick, own in picks.items()
        for label, *figures in zip(
            (*run.domains.task.classes, "unknown"),
            *(own["target"][f"{measure}_per_class"] for measure in measures),
            strict=False,  # the unknown is there in the open setting alone
        )
    ]
    saved: dict[Path, list[str]] = {}
    for pick in ("last", "chosen"):
        name = "last" if picks[pick]["step"] == step else pick
        saved.setdefault(folder / "checkpoints" / f"{name}.ckpt", []).append(pick)
    for logger in loggers:
        logger.log_metrics(accuracies, step=step)
        if isinstance(logger, Wandb):
            logger.ensure()  # here, since the client would wait long for each of these
            logger.log_pictures(pictures, step)
            logger.log_table("classes", ("pick", "class", *measures), classes, step)
            logger.log_checkpoints(saved)
            if verdicts:
                logger.log_table("verdicts", ("kind", "step", "words"), verdicts, step)


def pair_name(dataset: "Dataset") -> str:
    """What is adapted to what, in a word."""
    return " -> ".join("+".join(side) or "nothing" for side in (dataset.source, dataset.target))


@contextmanager
def within_memory(config: Mapping[str, Any]) -> Iterator[None]:
    """Says what to make smaller when there is no memory left.

    Raises:
        InputError: there is none.
    """
    import torch

    # the allocator of the CPU has no type of its own
    words = ("DefaultCPUAllocator", "out of memory")
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        kinds = (MemoryError, torch.OutOfMemoryError)
        if not (isinstance(error, kinds) or any(word in str(error) for word in words)):
            raise
        reason = one_line(error, most=200)
        sizes = (f"dataset.batch_size.{r}={n}" for r, n in config["dataset"]["batch_size"].items())
        raise InputError(
            f"out of memory ({reason}); the batch sizes are {listed(sizes)}: try smaller ones, "
            "a smaller network, network.recompute=true, network.freeze=backbone, "
            "trainer.precision=bf16-mixed, or trainer.devices=2, which share a batch"
        ) from None


def log_setup(run: "Run", resume: Path | None, damaged: list[str]) -> None:
    """Says what is trained on what, and from where."""
    dataset, task = run.domains.dataset, run.domains.task
    rows = ", ".join(f"{count} {role}" for role, count in task.rows.items())
    log.info("%s, %s; training rows: %s", pair_name(dataset), dataset.protocol, rows)
    if dataset.storage_note:
        log.info("%s", dataset.storage_note)
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
    known = {name.casefold() for name in dataset.known}
    if alike := [name for name in dataset.unknown if name.casefold() in known]:
        log.info(
            "warning: %s is written otherwise in the source, and so another class: rename one",
            listed(alike),
        )
    for words in damaged:
        log.warning("warning: %s; the one before it is whole", words)
    if resume:
        log.info("continuing from %s", resume)


def checkpoints(folder: Path) -> Iterator[Path]:
    """What a run may go on from, the latest first."""
    for name in ("last.ckpt", "previous.ckpt"):
        if (file := folder / "checkpoints" / name).is_file():
            yield file


def latest_valid_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The latest checkpoint that can be read, if there is any; and what is wrong with later ones.

    Raises:
        InputError: all are damaged.
    """
    import torch

    damaged: list[str] = []
    for file in checkpoints(folder):
        try:
            torch.load(file, map_location="cpu", weights_only=True)["adaptation"]
            with ZipFile(file) as archive:  # torch compares no checksum
                if changed := archive.testzip():
                    raise ValueError(f"{changed} has changed since")
            return file, damaged
        except Exception as error:  # what a damaged file makes of itself has no type
            reason = one_line(error, most=200)
            damaged.append(f"{file} is damaged ({type(error).__name__}: {reason})")
    if damaged:
        raise InputError(
            f"{'; '.join(damaged)}; remove {'it' if len(damaged) == 1 else 'both'} and the same "
            "command begins anew"
        )
    return None, []


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1024**2 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux


def process_rank() -> int:
    """This process's number among those that train together, known before they meet."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
