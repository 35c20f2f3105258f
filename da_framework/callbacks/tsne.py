"""``tsne.png``: features of source and target in the plane, before and after training."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch

from da_framework.callbacks.base import Callback, Evaluation, run_title
from da_framework.core.files import atomic_write
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder
from da_framework.results.tsne_figure import draw_features

log = logging.getLogger(__name__)


class TSNE(Callback):
    """Draws features of both sides, untrained and trained.

    van der Maaten, Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    https://jmlr.org/papers/v9/vandermaaten08a.html

    Args:
        folder: of the run.
        rows: at most so many of each side, and of both as many.
        colour: what it shows: ``side`` or ``class`` (of the target, the one that is predicted).
    """

    def __init__(self, folder: str, rows: int, colour: Literal["side", "class"]) -> None:
        self.path = RunFolder(Path(folder)).figure("tsne")
        self.rows = rows
        self.colour = colour
        self.title = ""
        self.names: dict[str, str] = {}
        # on disk, so that a run killed and continued still has its first features
        self.before = RunFolder(Path(folder)).features_before
        self.last: dict[str, Any] = {}

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        if not trainer.is_global_zero:
            return
        self.last = {}
        self.names, self.title = evaluation.domain_names(), run_title(module, evaluation)
        # as many of each side: a larger one would look nearer than it is
        n = min(self.rows, *(len(each.features) for each in evaluation.validation.values()))
        names = np.array([*evaluation.task.classes, "unknown"])
        for side, outputs in evaluation.validation.items():
            picked = torch.linspace(0, len(outputs.features) - 1, n).long()
            self.last[side] = outputs.features.cpu()[picked].numpy()
            # of the target what is predicted: its labels are not for figures of training
            labels = outputs.y if side == "source" else outputs.logits.argmax(1)
            self.last[f"{side}_class"] = names[labels.cpu()[picked].numpy()]
        if evaluation.step == 0:
            self.before.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.before) as partial, partial.open("wb") as stream:
                np.savez(stream, **self.last)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.last and trainer.is_global_zero and self.before.exists():
            before = read_features(self.before)
            moments = ({"before": before} if before else {}) | {"after": self.last}
            keys = {"names": self.names, "colour": self.colour, "title": self.title}
            draw_or_warn(draw_features, self.path, moments, **keys)


def read_features(file: Path) -> dict[str, Any] | None:
    """The features in a file; none if it is damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # what a damaged file makes of itself has no type
        log.warning("%s is damaged (%s): the figure is of after training alone", file, error)
        return None
