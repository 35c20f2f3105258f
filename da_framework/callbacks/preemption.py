"""What a run does when its machine is taken back: a checkpoint of the step it is at, and an end."""

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback
from da_framework.core.errors import preempted_by
from da_framework.core.signals import handle_signals
from da_framework.results.folder import RunFolder


class Preemption(Callback):
    """Ends training on Ctrl-C, SIGHUP, SIGTERM or SIGUSR1, after the step it is at.

    Several processes end together, at the next flush: that is where they wait for their devices
    anyway, and it is enough that one of them was told.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.last = RunFolder(Path(folder)).checkpoint("last")
        self.listening = ExitStack()
        self.begun = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: Any, batch: Any, batch_index: int
    ) -> None:
        if not self.begun:  # here and not before: Lightning has set its own handlers by now
            self.begun = True
            self.listening.enter_context(handle_signals(partial(request_stop, module)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        told = bool(module.stop_signal)
        if trainer.world_size > 1:
            told = module.is_work_due and trainer.strategy.reduce_boolean_decision(told, all=False)
        if told:
            if not module.checkpointing:
                trainer.save_checkpoint(self.last)
            raise preempted_by(
                module.stop_signal or "a signal",
                f" ended training after step {module.step} of {module.steps}; its checkpoint is "
                "kept: the same command continues",
            )

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.listening.close()

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.listening.close()


def request_stop(module: Any, signal: str) -> None:
    """Asks for an end after this step; whoever has pressed Ctrl-C is told so."""
    module.request_stop(signal)
    if signal == "SIGINT" and sys.stderr.isatty():
        # not by the stream: the signal may have come while it is written to
        os.write(2, b"\nends after this step, with a checkpoint; Ctrl-C again ends at once\n")
