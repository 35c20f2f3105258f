"""How far a run is: a bar on a terminal, a line for each evaluation elsewhere."""

import logging
import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.terminal import NARROW, open_console
from da_framework.core.text import time_left
from da_framework.results.statistics import format_figure

log = logging.getLogger(__name__)

WIDE = 120
"""Columns of a terminal from which on the bar is long."""


class ProgressBar(Callback):
    """Steps done, steps a second, time left, and the figures last read, as far as there is room.

    What is logged meanwhile stands above the bar.

    Args:
        total: steps of training.
        refresh_rate: redraws a second.
    """

    def __init__(self, total: int, *, refresh_rate: float = 4.0) -> None:
        self.total = total
        console = open_console(stderr=True)
        self.bar = Progress(
            *bar_columns(console.width),
            console=console,
            expand=True,
            refresh_per_second=refresh_rate,
            disable=not sys.stderr.isatty(),
        )
        self.moved: list[tuple[logging.StreamHandler[Any], Any]] = []
        self.task = self.bar.add_task("", total=total, rate="", figures="")
        self.begun: tuple[int, float] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.begun = module.step, time.monotonic()
        if trainer.is_global_zero and not self.bar.disable:
            self.bar.start()
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream.isatty():
                    self.moved.append((handler, handler.setStream(sys.stderr)))

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
            rate=f"{speed:.{speed < 10:d}f} steps/s" if speed else "",
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
                "step %d of %d: score %s%s%s",
                evaluation.step,
                self.total,
                format_figure(evaluation.figures["score"]),
                "" if source is None else f", held-out source accuracy {source:.3f}",
                self.left(evaluation.step),
            )

    def left(self, step: int) -> str:
        """Time left, by how long the steps of this process took, evaluations among them."""
        first, since = self.begun or (step, 0.0)
        if step <= first:
            return ""
        return time_left((self.total - step) * (time.monotonic() - since) / (step - first))

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.stop()

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self.stop()

    def stop(self) -> None:
        """Leaves the bar as it is, and the cursor and the log as they were."""
        for handler, stream in self.moved:
            handler.setStream(stream)
        self.moved.clear()
        self.bar.stop()


def bar_columns(width: int) -> list[ProgressColumn]:
    """What the bar consists of: on a narrow terminal, steps and the time left alone.

    Args:
        width: of the terminal.
    """
    if width < NARROW:
        return [BarColumn(width // 3), MofNCompleteColumn(), TimeRemainingColumn()]
    figures = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return [
        TextColumn("training"),
        BarColumn(40 if width >= WIDE else 16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False, table_column=figures),
    ]
