"""``tsne.png``: features of source and target in the plane, before and after training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.files import atomic_write
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder
from da_framework.results.tsne_figure import draw_features


class TSNE(Callback):
    """Draws features of both sides, untrained and trained.

    van der Maaten, Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    https://jmlr.org/papers/v9/vandermaaten08a.html

    Args:
        folder: of the run.
        rows: at most so many of each side.
    """

    def __init__(self, folder: str, rows: int) -> None:
        self.path = RunFolder(Path(folder)).figure("tsne")
        self.rows = rows
        # on disk, so that a run killed and continued still has its first features
        self.before = RunFolder(Path(folder)).features_before
        self.last: dict[str, Any] = {}

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        if not trainer.is_global_zero:
            return
        self.last = {}
        names = np.array([*evaluation.task.classes, "unknown"])
        for side, outputs in evaluation.validation.items():
            picked = slice(None, None, max(1, -(-len(outputs.features) // self.rows)))
            self.last[side] = outputs.features[picked].cpu().numpy()
            # of the target what is predicted: its labels are not for figures of training
            labels = outputs.y if side == "source" else outputs.logits.argmax(1)
            self.last[f"{side}_class"] = names[labels[picked].cpu().numpy()]
        if evaluation.step == 0:
            self.before.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.before) as partial, partial.open("wb") as stream:
                np.savez(stream, **self.last)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.last and trainer.is_global_zero and self.before.exists():
            with np.load(self.before) as before:
                moments = {"before": dict(before), "after": self.last}
            draw_or_warn(draw_features, self.path, moments)
