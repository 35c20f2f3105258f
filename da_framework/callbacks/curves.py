"""``curves.png``: losses, schedules and accuracies over steps."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation, run_title
from da_framework.core.schedules import Schedule
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder
from da_framework.results.history_figure import draw_history


class Curves(Callback):
    """Draws the history when training has ended.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.path = RunFolder(Path(folder)).figure("curves")
        self.title = ""

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        self.title = run_title(module, evaluation)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            schedules = [n for n, own in vars(module.method).items() if isinstance(own, Schedule)]
            draw_or_warn(
                *(draw_history, self.path, module.history, module.picks),
                schedules=schedules,
                title=self.title,
            )
