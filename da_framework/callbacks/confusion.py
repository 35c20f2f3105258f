"""``confusion.png``: which classes of the target are taken for which, after the last step."""

from pathlib import Path

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation, run_title
from da_framework.results.confusion_figure import draw_confusion
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder


class Confusion(Callback):
    """Draws the tested target's confusion matrix when training has ended, if it has labels.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.path = RunFolder(Path(folder)).figure("confusion")
        self.last: Evaluation | None = None

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        self.last = evaluation

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.last is not None and len(self.last.oracle.y) and trainer.is_global_zero:
            oracle, task = self.last.oracle, self.last.task
            true, predicted = oracle.y.cpu().numpy(), oracle.logits.argmax(1).cpu().numpy()
            k = max(oracle.logits.shape[1], int(true.max()) + 1)
            classes, title = (*task.classes, "unknown")[:k], run_title(module, self.last)
            draw_or_warn(draw_confusion, self.path, true, predicted, classes, title=title)
