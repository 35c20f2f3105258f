"""How far a run is: a bar on a terminal, a line for each evaluation elsewhere."""

import logging
import sys
from typing import Any

import pytorch_lightning as pl
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.results.statistics import format_figure

log = logging.getLogger(__name__)


class ProgressBar(Callback):
    """Steps done, steps a second, time left, and the figures last read.

    Args:
        total: steps of training.
        refresh_rate: redraws a second.
    """

    def __init__(self, total: int, *, refresh_rate: float = 4.0) -> None:
        self.total = total
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            refresh_per_second=refresh_rate,
            disable=not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("", total=total, rate="", figures="")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        speed = self.bar.tasks[0].speed
        losses: dict[str, float] = next(
            (row for row in reversed(module.history) if "train/lr" in row), {}
        )
        self.bar.update(
            self.task,
            completed=module.step,
            rate=f"{speed:.0f} steps/s" if speed else "",
            figures=" ".join(
                f"{name.removeprefix('train/')} {value:.3g}"
                for name, value in losses.items()
                if name != "step"
            ),
        )

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        if self.bar.disable and trainer.is_global_zero:
            source = evaluation.figures.get("source", {}).get("accuracy")
            log.info(
                "step %d of %d: score %s%s",
                evaluation.step,
                self.total,
                format_figure(evaluation.figures["score"]),
                "" if source is None else f", held-out source accuracy {source:.3f}",
            )

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self.bar.stop()
