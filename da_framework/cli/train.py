"""``da train``: one job, which trains, or shows what is there."""

import importlib.machinery
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf.errors import OmegaConfBaseException

import __main__
from da_framework.cli.secrets import refuse_drawn_secrets
from da_framework.cli.sweeps import run_job
from da_framework.config.schema import to_plain
from da_framework.core.errors import InputError
from da_framework.results.baseline import describe_baseline
from da_framework.results.folder import RunFolder
from da_framework.results.model_card import write_card
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import chosen_score
from da_framework.results.tables import print_run
from da_framework.training.train import train

if TYPE_CHECKING:
    from da_framework.callbacks.base import Callback


def main(config: Any, *, callbacks: "Sequence[Callback]" = ()) -> float | None:
    """Trains as a config says.

    Args:
        config: as Hydra has composed it.
        callbacks: of whoever trains, beside those of the config.

    Returns:
        What the validator makes of the chosen checkpoint; None on all processes but the first, for
        a job of a sweep that has failed, and where no score is finite.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    with remove_unused_folder(folder):
        overrides = list(job.overrides.task)
    sweeping = job.mode == RunMode.MULTIRUN
    prepare_relaunch(job, overrides)

    def run() -> RunRecord | None:
        refuse_drawn_secrets(config)
        values = to_plain(config)
        if sweeping:
            check_devices(values, launcher=job.launcher._target_)
        record = train(
            values,
            folder,
            command=shlex.join(["da", "train", *overrides]),
            choices=dict(job.runtime.choices),
            callbacks=callbacks,
        )
        if record:
            write_card(record, folder)
        return record

    if sweeping:
        sweep = Path(job.sweep.dir)
        record = run_job(run, sweep, job.job.num, folder, overrides=overrides)
    else:
        with remove_unused_folder(folder):
            record = run()
        if record:
            print_run(record, folder, beside=describe_baseline(record, folder))
    return chosen_score(record) if record else None


@contextmanager
def remove_unused_folder(folder: Path) -> Iterator[None]:
    """Removes the folder that Hydra has made for a run, where what was typed cannot be used."""
    try:
        yield
    except (InputError, OmegaConfBaseException):
        left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        log_file = RunFolder(folder).log
        written = log_file.is_file() and log_file.stat().st_size
        if left and left <= {".hydra", log_file.name} and not written and folder != Path.cwd():
            shutil.rmtree(folder, ignore_errors=True)
            if not any(folder.parent.iterdir()) and folder.parent != Path.cwd():
                folder.parent.rmdir()
        raise


def check_devices(values: dict[str, Any], *, launcher: str) -> None:
    """Refuses several devices for a job that is given no process of its own.

    Raises:
        InputError: that is so.
    """
    if values["trainer"]["devices"] != 1 and "submitit" not in launcher:
        raise InputError(
            "trainer.devices: several devices need a process of their own for each job, which "
            "this launcher does not give: add hydra/launcher=local, or slurm on a cluster"
        )


def prepare_relaunch(job: Any, overrides: list[str]) -> None:
    """Lets Lightning start further processes of this very job, not of the sweep it is part of."""
    from omegaconf import open_dict, read_write

    __main__.__spec__ = importlib.machinery.ModuleSpec("da_framework", None)
    # an experiment may ask for a sweep
    sys.argv = ["da", "train", *overrides, "hydra.mode=RUN"]
    with read_write(job), open_dict(job):
        job.run.dir = job.runtime.output_dir
