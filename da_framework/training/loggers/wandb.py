"""Weights & Biases: never asks, and training neither waits for it nor ends with it."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import Logger

from da_framework.callbacks.base import Table
from da_framework.core.errors import one_line
from da_framework.core.files import write_text
from da_framework.core.text import printable
from da_framework.core.types import Positive
from da_framework.results.folder import RunFolder
from da_framework.training.loggers.tracker import Tracker
from da_framework.training.loggers.wandb_connection import server_address, why_offline

log = logging.getLogger(__name__)

STEP = "trainer/global_step"
"""What curves are drawn over: the name that Lightning's users know."""

LONGEST_TAG = 64

RUN_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
"""What may be the name of a run."""


class Wandb(WandbLogger, Tracker):
    """Weights & Biases, which never asks, and for which training neither waits nor ends.

    To callbacks that know it, it is Lightning's ``WandbLogger``; how it is begun, what it does when
    something fails and how it ends are its own.

    Online if there is a key and the server takes it; otherwise, or from when it fails, offline,
    which is said in one line with the command that sends it later. ``WANDB_MODE`` overrides.

    The client sends from a process of its own, and writes all it is given to a file as well,
    ten times a second. A run that goes on after a kill is given the rows of its history again, so
    that none is lost; what is there twice is drawn once, since curves are drawn over ``STEP``. A
    run that goes on offline has a second file.

    Args:
        project: of the run.
        folder: of the run; its files go there.
        group: of the run: its sweep.
        job_type: of the run: its method.
        tags: of the run: its data.
        checkpoints: whether they are sent as well.
        patience: seconds that the end of a run waits for what is still to be sent.
        entity: whose the project is; ``None``: as W&B has it, ``WANDB_ENTITY`` or one's own.
        name: of the run; ``None``: its folder's.
        notes: on the run.
    """

    def __init__(
        self,
        *,
        project: str,
        folder: str,
        group: str | None,
        job_type: str,
        tags: list[str],
        checkpoints: bool,
        patience: Positive,
        entity: str | None = None,
        name: str | None = None,
        notes: str | None = None,
    ) -> None:
        # not Lightning's own, which would ask the client for a run
        Logger.__init__(self)
        self.folder = Path(folder)
        self.checkpoints = checkpoints
        self.patience = patience
        self.keys: dict[str, Any] = {
            "entity": entity,
            "project": project,
            "name": printable(self.folder.name if name is None else name),
            "notes": notes,
            "id": load_run_id(self.folder),
            "group": group,
            "job_type": job_type,
            "tags": [printable(tag)[:LONGEST_TAG] for tag in tags],
            "config": {},
        }
        self.run: Any = None
        self.mode = os.environ.get("WANDB_MODE", "online")
        if self.ensure():
            try:
                self.run = self.begin()
            except Exception as error:  # the client's have no type in common
                self.fall_back(error)

    # what is logged

    @property
    def name(self) -> str:
        return str(self.keys["project"])

    @property
    def version(self) -> str:
        return str(self.keys["id"])

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        """The client's run; where there is none any more, one that takes everything."""
        from lightning_fabric.loggers.logger import _DummyExperiment

        return _DummyExperiment() if self.run is None else self.run

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.attempt(lambda run: run.log({**metrics, STEP: step}))

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        self.keys["config"] = dict(params)
        self.attempt(lambda run: run.config.update(self.keys["config"], allow_val_change=True))

    def log_tag(self, name: str, value: str) -> None:
        """Adds a tag to those of the run, which have no names."""
        self.keys["tags"].append(value[:LONGEST_TAG])
        self.attempt(lambda run: setattr(run, "tags", self.keys["tags"]))

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Puts values into the summary of the run."""
        self.attempt(lambda run: run.summary.update(dict(values)))

    def log_figures(self, files: Mapping[str, Path], step: int) -> None:
        """Sends image files by name."""
        from wandb import Image

        images = {name: Image(str(file)) for name, file in files.items()}
        self.attempt(lambda run: run.log({STEP: step} | images))

    def log_rows(self, name: str, table: Table, step: int) -> None:
        from wandb import Image

        rows = [
            [Image(cell) if isinstance(cell, np.ndarray) else cell for cell in cells]
            for cells in table.rows
        ]
        self.log_table(name, columns=table.columns, data=rows, step=step)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Nothing: ``log_checkpoints`` sends them at the end."""

    def finalize(self, status: str) -> None:
        """Nothing: ``finish`` ends the run, and says if that fails."""

    def log_checkpoints(self, files: Mapping[Path, Sequence[str]]) -> None:
        """Versions of one artifact, with their aliases; not copied: they are sent from here."""
        from wandb import Artifact

        def send(run: Any, file: Path, aliases: Sequence[str]) -> None:
            artifact = Artifact(f"model-{self.version}", "model")
            artifact.add_file(str(file), name="model.ckpt", policy="immutable")
            run.log_artifact(artifact, aliases=list(aliases))

        for file, aliases in files.items() if self.checkpoints else ():
            self.attempt(partial(send, file=file, aliases=aliases))

    # what may fail

    def begin(self) -> Any:
        """The run, or one more piece of it."""
        import wandb as client

        client.setup(client.Settings(silent=True))
        run = client.init(
            **self.keys,
            resume="allow",
            reinit="create_new",
            dir=str(self.folder),
            mode=self.mode,  # type: ignore[arg-type]
            settings=client.Settings(
                base_url=server_address(),
                silent=True,
                console="off",
                init_timeout=self.patience,
                finish_timeout=self.patience,
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=0.1,
            ),
        )
        if self.mode == "online":
            log.info("W&B: %s", run.url)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        return run

    def attempt(self, act: Callable[[Any], object]) -> None:
        """Does something with the run: if that fails, offline; if that fails too, not at all."""
        while self.run is not None:
            try:
                act(self.run)
                return
            except Exception as error:
                self.fall_back(error)

    def fall_back(self, why: object) -> None:
        """Goes on offline; if it is offline, without W&B."""
        import wandb as client

        reason = one_line(why, most=200)
        was, self.mode = self.mode, "offline"
        if was == "online":
            log.warning("W&B is offline (%s); send it later: da sync %s", reason, self.folder)
        else:
            log.warning("W&B fails (%s): the run goes on without it", reason)
        broken, self.run = self.run, None
        with suppress(Exception):
            if broken is not None:
                broken.finish()
        with suppress(Exception):
            client.teardown()
        if was == "online":
            try:
                self.run = self.begin()
            except Exception as error:
                self.fall_back(error)

    def ensure(self) -> bool:
        """Goes offline if the server no longer answers; whether it can stay as it was."""
        reason = why_offline(patience=min(self.patience, 5.0)) if self.mode == "online" else ""
        if reason:
            self.fall_back(reason)
        return not reason

    def finish(self, *, done: bool) -> None:
        """The end of the run, sent in time or kept for later."""
        self.ensure()
        if self.run is None:
            return
        run, self.run = self.run, None
        try:
            run.finish(exit_code=0 if done else 1)
        except Exception as error:
            if self.mode == "online":
                log.warning("W&B has not all of it (%s); da sync %s sends it", error, self.folder)
        else:
            if self.mode == "online":
                # as the client itself marks what it has sent later
                Path(f"{run.settings.sync_file}.synced").touch()


def load_run_id(folder: Path) -> str:
    """Kept in the folder, so that a run killed and continued is one run there too."""
    file = RunFolder(folder).wandb_id
    if file.is_file():
        run_id = file.read_bytes().decode(errors="replace").strip()
        if RUN_ID.fullmatch(run_id):
            return run_id
        log.warning("%s is damaged: W&B will show the run from here on as another", file)
    write_text(file, run_id := uuid4().hex[:16])
    return run_id
