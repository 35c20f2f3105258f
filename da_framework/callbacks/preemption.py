"""What a run does when its machine is taken back: a checkpoint of the step it is at, and an end."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback
from da_framework.core.errors import PreemptedError
from da_framework.core.signals import handle_signals
from da_framework.results.folder import RunFolder


class Preemption(Callback):
    """Ends training on SIGTERM or SIGUSR1, after the step it is at.

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
            self.listening.enter_context(handle_signals(module.request_stop))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        told = bool(module.stop_signal)
        if trainer.world_size > 1:
            told = module.is_work_due and trainer.strategy.reduce_boolean_decision(told, all=False)
        if told:
            if not module.checkpointing:
                trainer.save_checkpoint(self.last)
            raise PreemptedError(
                f"{module.stop_signal or 'a signal'} ended training after step {module.step} of "
                f"{module.steps}; its checkpoint is kept: the same command continues"
            )

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.listening.close()

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.listening.close()
