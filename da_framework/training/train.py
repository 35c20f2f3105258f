"""``da train``: config -> objects -> fit -> score -> result.json."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from da_framework.config.allowlist import trusted_names
from da_framework.config.schema import as_meant, check_config, instantiate
from da_framework.core.damage import DamagedError
from da_framework.core.errors import DivergedError, InputError, PreemptedError, one_line
from da_framework.core.files import set_aside, write_text
from da_framework.core.types import ConfigNode
from da_framework.results import record as records
from da_framework.results.folder import RunFolder
from da_framework.training.dataset_cache import load_dataset
from da_framework.training.memory import explain_out_of_memory, peak_memory, reset_peak_memory
from da_framework.training.warm_start import weights_fingerprint

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from da_framework.callbacks.base import Callback
    from da_framework.results.record_schema import (
        Choices,
        CurvePoint,
        Environment,
        Picks,
        RunConfig,
        RunOutcome,
        RunRecord,
        Seconds,
        TrainedRecord,
    )
    from da_framework.training.build import Run

log = logging.getLogger(__name__)

LARGE_INPUT = 100.0
"""A number among the inputs above which training may diverge for that reason alone."""
SELECTION = {
    "last": "nothing: the last step",
    "chosen": "held-out samples of the sources",
    "oracle": "labels of the target, which no method may use",
}
"""What the picks of a run are chosen by whose target is not looked at in choosing."""
RATES = (("optimizer", "lr"), ("method", "weight"))
"""Keys that are lowered where training diverges."""


def train(
    config: Mapping[str, Any],
    folder: Path,
    *,
    command: str,
    choices: Mapping[str, str | None],
    callbacks: "Sequence[Callback]" = (),
) -> "RunRecord | None":
    """Trains as a config says, or shows the result if it is there already.

    Args:
        config: resolved.
        folder: of the run.
        command: that repeats it.
        choices: the names by which the parts were chosen, for the record.
        callbacks: of whoever trains, beside those of the config.

    Returns:
        The record of the run; none on all processes but the first.

    Raises:
        InputError: something given cannot be used.
        DivergedError: a loss or weight is no longer finite.
        PreemptedError: a signal ended training.
    """
    begun, cpu = time.perf_counter(), time.process_time()
    peak_of = reset_peak_memory()
    if trusted := config.get("trust"):
        config = {**config, "trust": trusted_names(trusted)}
    place = RunFolder(folder)
    try:
        check_config({"dataset": config["dataset"]}, dataset_alone)
    except InputError:
        from da_framework.config.settings import Settings

        check_config(config, Settings)  # says it together with whatever else is wrong
        raise
    config = {**config, "dataset": as_meant(config["dataset"])}
    dataset = load_dataset(config["dataset"])
    data = dataset.fingerprints()
    key = records.run_key(config, data, start=weights_fingerprint(config))
    done, _ = read_finished(place)
    if done and done.get("key") == key and not config["again"]:
        log.info("already done; again=true runs it once more")
        if is_first_process(config):
            with suppress(OSError):  # a folder that may only be read
                place.remove_leftovers()  # the power may have failed before it was done
        return done

    # torch is imported from here on: showing a result does not wait for it
    from da_framework.training.build import build
    from da_framework.training.resume import mend_key

    with explain_out_of_memory(config):
        run = build(config, dataset)
    if not is_first_process(config):
        with suppress(PreemptedError), explain_out_of_memory(config):  # the first process says it
            fit(run, config, place, first=False, callbacks=callbacks)
        return None
    with place.lock():
        if damage := read_finished(place)[1]:
            log.warning("warning: %s, and now called %s", damage, set_aside(place.result).name)
        mend_key(place, key)
        if aside := place.claim(key, again=config["again"]):
            log.info("another run was in this folder: moved to %s", aside)
        place.diverged.unlink(missing_ok=True)
        with explain_out_of_memory(config):
            fit(run, config, place, first=True, callbacks=callbacks)
        record = make_record(
            run,
            config,
            data=data,
            key=key,
            command=command,
            choices=choices,
            seconds={
                "training": run.module.seconds,
                "all": time.perf_counter() - begun,
                "cpu": time.process_time() - cpu,
            },
            peak_of=peak_of,
        )
        place.write_record(record)
        place.remove_leftovers()
    return cast("RunRecord", record)


def make_record(
    run: "Run",
    config: Mapping[str, Any],
    *,
    data: Mapping[str, str],
    key: str,
    command: str,
    choices: Mapping[str, str | None],
    seconds: "Seconds",
    peak_of: Literal["run", "process"],
) -> "TrainedRecord":
    """The record of a trained run.

    Args:
        run: after it was fitted.
        config: resolved.
        data: fingerprint of each domain.
        key: that recognises it.
        command: that repeats it.
        choices: the names by which the parts were chosen.
        seconds: that it took.
        peak_of: what the most memory is of.
    """
    dataset = run.dataset
    return {
        "key": key,
        "command": command,
        "choices": cast("Choices", dict(choices)),
        "config": cast("RunConfig", dict(config)),
        "data": dict(data),
        "inputs": run.inputs(),
        "licences": {name: dataset.licence(name) for name in dataset.domains},
        "code": records.code_hash(config),
        "seconds": seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "peak_memory_of": peak_of,
        **summarize(run),
    }


def read_finished(folder: RunFolder) -> "tuple[RunRecord | None, str]":
    """The record of a finished run, if it is one; and what is wrong with it, if it is damaged.

    A damaged record does not end the command: the checkpoints beside it have what it is made of.

    Raises:
        InputError: it cannot be read, which is no damage.
    """
    try:
        return folder.read_record(), ""
    except DamagedError as error:
        return None, error.damage


def dataset_alone(dataset: ConfigNode) -> None:
    """The one key of a data set's own check."""


def summarize(run: "Run") -> "RunOutcome":
    """What a trained run adds to its record: the three numbers, and what they stand on."""
    module, dataset = run.module, run.domains.dataset
    outcome: RunOutcome = {
        "baseline": module.method.baseline,
        "domains": {"source": list(dataset.source), "target": list(dataset.target)},
        "classes": list(dataset.known),
        "rows": {**run.domains.task.rows, "test": len(run.domains.oracle)},
        "skipped": dataset.skipped,
        "audited": dataset.answered_names(),
        "audited_content": dataset.answered_hashes(),
        "environment": cast("Environment", {**records.environment(), **module.machine}),
        "steps": module.step,
        "peak_memory_mib": peak_memory(),
        "target": cast(
            "Picks",
            {
                name: {"step": pick["step"], "score": pick["score"], **pick["target"]}
                for name, pick in module.picks.items()
            },
        ),
        "source": {name: pick["source"] for name, pick in module.picks.items() if "source" in pick},
        "curve": evaluation_curve(module.history),
        "verdicts": [
            {"kind": kind, "step": verdict["step"], "words": verdict["words"]}
            for kind, verdict in module.verdicts.items()
        ],
        "note": "target.oracle is the best evaluation by target test labels: no method may use it"
        if "oracle" in module.picks
        else "the tested target has no labels: its accuracy is not known",
    }
    if dataset.left_out is not None:
        chosen = f"the source {dataset.left_out}, which is left out of training"
        outcome["selection"] = {**SELECTION, "chosen": chosen}
    elif module.method.generalizes:
        outcome["selection"] = dict(SELECTION)
    return outcome


def evaluation_curve(history: Sequence[Mapping[str, Any]]) -> "list[CurvePoint]":
    """A point for each evaluation: its figures, and those of what watched it."""
    points: dict[int, Any] = {}
    for row in history:
        if any(name != "step" and not name.startswith("train/") for name in row):
            points.setdefault(row["step"], {}).update(row)
    return list(points.values())


def largest_input(run: "Run") -> float:
    """The largest number among the inputs of the first batch; 0 where they are bytes or words."""
    inputs = (samples.x for samples in run.domains.batch(0).values())
    return max((float(x.abs().max()) for x in inputs if x.is_floating_point()), default=0.0)


def advise_against_divergence(config: Mapping[str, Any], largest: float) -> str:
    """What to try where a loss is no longer finite: the scale of the inputs comes first.

    Args:
        config: of the run, whose keys alone are named.
        largest: number among the inputs.
    """
    lower = [f"{group}.{key}" for group, key in RATES if key in config[group]]
    ways = [f"lower {' or '.join(lower)}"] if lower else []
    if "clip" in config["optimizer"]:
        ways.append("set optimizer.clip=1.0")
    if largest > LARGE_INPUT:
        scaled = "scale" in config["dataset"]
        way = "dataset.scale=source brings" if scaled else "bring"
        them = "them to deviation 1" + ("" if scaled else " first")
        ways.insert(0, f"inputs are as large as {largest:.3g}: {way} {them}")
    return "; or ".join(ways)


def fit(
    run: "Run",
    config: Mapping[str, Any],
    folder: RunFolder,
    *,
    first: bool,
    callbacks: "Sequence[Callback]",
) -> None:
    """Trains, from the last checkpoint if there is one, and writes what is seen on the way."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from da_framework.training.checkpoint_check import explain_restore
    from da_framework.training.processes import end_together
    from da_framework.training.resume import find_checkpoint
    from da_framework.training.run_log import close_loggers, log_setup, log_start, log_summary
    from da_framework.training.trainer import build_trainer

    refuse_copied_processes(config)
    watchers = build_callbacks(config, folder, callbacks)
    loggers: list[Any] = []
    try:
        for node in (config.get("logger") or {}).values() if first else ():
            loggers.append(instantiate(node))  # one by one: if the next fails, this one is closed
        trainer = build_trainer(config, callbacks=watchers, loggers=loggers)
        # asked for before there are processes, so that one message says what they cannot share
        run.domains.batch(0, 0, trainer.world_size)
        log_start(loggers, run, config)
        resume, notes = find_checkpoint(folder, first=first, module=run.module)
        if first:
            log_setup(run, resume, notes)
        with end_together(trainer), explain_restore(resume, run.module):
            trainer.fit(run.module, datamodule=run.domains, ckpt_path=resume, weights_only=True)
        if not run.module.ended:
            raise InputError(
                f"training ended at step {run.module.step} of {run.module.steps}: one of the keys "
                "of trainer stopped it; without it, the same command continues"
            )
        log_summary(loggers, run, folder, watchers)
    except DivergedError as error:
        good = next(folder.checkpoints_latest_first(), None)
        kept = f"last good checkpoint: {good}" if good else "no checkpoint was due yet"
        if first:
            write_text(folder.diverged, f"{error}; {kept}\n")
        mend = advise_against_divergence(config, largest_input(run))
        raise DivergedError(f"{error}; {kept}; {mend}") from None
    except MisconfigurationException as error:
        raise InputError(f"trainer: {one_line(error)}") from error
    except SystemExit:  # Lightning's answer to an interrupt
        raise KeyboardInterrupt from None
    finally:
        close_loggers(loggers, done=run.module.ended)


def build_callbacks(
    config: Mapping[str, Any], folder: RunFolder, callbacks: "Sequence[Callback]"
) -> "list[pl.Callback]":
    """What watches a run: our own, those of the config, and those of whoever trains."""
    from da_framework.callbacks.checkpoints import Checkpoints
    from da_framework.callbacks.guard import guard_callback
    from da_framework.callbacks.history import History
    from da_framework.callbacks.preemption import Preemption
    from da_framework.callbacks.progress import ProgressBar

    place = str(folder.path)
    watching = [
        *(instantiate(node) for node in (config.get("callback") or {}).values()),
        # after those whose figures are part of it
        History(place),
        *callbacks,
        ProgressBar(config["steps"]),
    ]
    # first, so that the last checkpoint is there when others draw
    return [Checkpoints(place), Preemption(place), *map(guard_callback, watching)]


def refuse_copied_processes(config: Mapping[str, Any]) -> None:
    """Refuses to train in copies of this process.

    Raises:
        InputError: the strategy would.
    """
    strategy = str(config["trainer"]["strategy"])
    if strategy.startswith(("ddp_fork", "ddp_spawn", "ddp_notebook")):
        raise InputError(
            f"trainer.strategy={strategy} trains in copies of this process, whose figures are lost "
            "with them; trainer.strategy=ddp keeps them"
        )


def is_first_process(config: Mapping[str, Any]) -> bool:
    """Whether this process is the first of those that train together, before they meet."""
    if config["trainer"]["devices"] == 1:
        return True
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0) == 0
