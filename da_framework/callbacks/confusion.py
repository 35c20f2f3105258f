"""``confusion.png``: which classes of the target are taken for which, after the last step."""

from pathlib import Path

import pytorch_lightning as pl
from jaxtyping import Int
from torch import Tensor

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.metrics.classification import confusion
from da_framework.results.figure import save_figure
from da_framework.results.folder import RunFolder


class Confusion(Callback):
    """Draws the tested target's confusion matrix when training has ended.

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
        if self.last is not None and trainer.is_global_zero:
            counts = confusion(self.last.oracle.logits, self.last.oracle.y).cpu()
            draw_confusion(self.path, counts, (*self.last.task.classes, "unknown")[: len(counts)])


def draw_confusion(path: Path, counts: Int[Tensor, "k k"], classes: tuple[str, ...]) -> None:
    """Draws a confusion matrix: a row is a true class, in percent of its own samples."""
    k = len(classes)
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    side = min(3.2 + 0.32 * k, 16.0)
    with save_figure(path, width=side + 0.6, height=side) as figure:
        axes = figure.subplots()
        image = axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        accuracy = (counts.diagonal().sum() / counts.sum()).item()
        axes.set(xlabel="predicted", ylabel="true", title=f"target, accuracy {accuracy:.1%}")
        if k <= 40:
            axes.set_xticks(range(k), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
            axes.set_yticks(range(k), classes)
        if k <= 12:
            for i in range(k):
                for j in range(k):
                    if share[i, j] >= 0.005:
                        colour = "white" if share[i, j] > 0.5 else "black"
                        text = f"{100 * share[i, j].item():.0f}"
                        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
