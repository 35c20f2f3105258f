"""``tsne.png``: features of source and target in the plane, before and after training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.array_cache import Array
from da_framework.core.files import atomic_write
from da_framework.results.figure import SOURCE, TARGET, save_figure
from da_framework.results.folder import RunFolder


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
                draw_features(self.path, {"before": dict(before), "after": self.last})


def draw_features(path: Path, moments: dict[str, dict[str, Array]]) -> None:
    """A panel a moment: colour is the side, the small digit or letter the class."""
    from sklearn import manifold

    with save_figure(path, width=4.6 * len(moments), height=4.4) as figure:
        panels = figure.subplots(1, len(moments), squeeze=False)[0]
        for axes, (moment, arrays) in zip(panels, moments.items(), strict=True):
            sides = [side for side in ("source", "target") if side in arrays]
            features = np.concatenate([arrays[side] for side in sides]).astype(np.float64)
            perplexity = min(30.0, (len(features) - 1) / 3)
            plane = manifold.TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(
                features
            )
            start = 0
            for side, colour in (("source", SOURCE), ("target", TARGET)):
                if side in arrays:
                    points = plane[start : start + len(arrays[side])]
                    start += len(points)
                    axes.scatter(*points.T, s=9, color=colour, alpha=0.65, linewidths=0, label=side)
                    if side == "source":
                        for label in np.unique(arrays["source_class"]):
                            x, y = np.median(points[arrays["source_class"] == label], axis=0)
                            axes.text(
                                x,
                                y,
                                str(label),
                                fontsize=11,
                                weight="bold",
                                ha="center",
                                va="center",
                            )
            axes.set(title=f"{moment} training", xticks=[], yticks=[])
        panels[0].legend(frameon=False, markerscale=2, loc="upper left")
