"""Ends a run of a search that is worse than those before it."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.errors import PrunedError


class Pruning(Callback):
    """Asks at every evaluation whether to go on.

    Args:
        hopeless: of a step and what the run is worth there.
        worth: of an evaluation; none where it has no score, which prunes nothing.
    """

    def __init__(
        self, hopeless: Callable[[int, float], bool], worth: Callable[[Any], float | None]
    ) -> None:
        self.hopeless = hopeless
        self.worth = worth

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        # the untrained network says nothing, and a whole run has nothing left to save
        between = 0 < evaluation.step < module.steps  # type: ignore[operator]
        worth = self.worth(evaluation.figures) if between else None
        if worth is not None and self.hopeless(evaluation.step, worth):
            raise PrunedError(f"pruned at step {evaluation.step}")
