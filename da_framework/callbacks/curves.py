"""``curves.png``: losses, schedules and accuracies over steps."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback
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

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            draw_or_warn(draw_history, self.path, module.history, module.picks)
