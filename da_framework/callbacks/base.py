"""A Lightning callback that is also told of every evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl

from da_framework.core.batch import Outputs, Task


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation saw and found.

    Attributes:
        step: steps of training done.
        task: classes and domains.
        validation: outputs of held-out ``source`` and of ``target``, whose labels are hidden.
        oracle: outputs of the tested target rows with their true labels: for results alone.
        reading: the figures, as they stand in the curve.
        warnings: what a person should know, in words.
    """

    step: int
    task: Task
    validation: Mapping[str, Outputs]
    oracle: Outputs
    reading: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default=())


class Callback(pl.Callback):
    """Told of every evaluation, on every process; writes on the first alone."""

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        """After the evaluation of a step."""
