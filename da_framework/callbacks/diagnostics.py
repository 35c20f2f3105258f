"""Says in words when training goes wrong in a way the losses do not show."""

import logging
from collections.abc import Iterator

import pytorch_lightning as pl
import torch

from da_framework.batch import Outputs
from da_framework.callbacks.base import Callback, Evaluation

log = logging.getLogger(__name__)


class Diagnostics(Callback):
    """Warns of collapsed features or predictions, and of what the method says; once of each.

    Args:
        spread: share of the untrained features' variance under which they count as collapsed.
        majority: share of target rows in one class above which predictions count as collapsed.
    """

    def __init__(self, spread: float, majority: float) -> None:
        self.spread = spread
        self.majority = majority
        self.before: float | None = None
        self.said: set[str] = set()

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        found = {"method": "; ".join(evaluation.warnings)} if evaluation.warnings else {}
        if evaluation.step == 0:
            self.before = variance(evaluation)
        else:
            found |= dict(self.collapse(evaluation))
        for kind, words in found.items():
            if kind not in self.said and trainer.is_global_zero:
                log.warning("warning at step %d: %s", evaluation.step, words)
        self.said |= found.keys()

    def collapse(self, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
        """Kinds of collapse, each with a sentence."""
        now = variance(evaluation)
        if self.before and now < self.spread * self.before:
            yield (
                "features",
                f"features have collapsed: their variance is {now / self.before:.0e} of what"
                " it was untrained; lower method.weight, ramp it, or use batch norm",
            )
        target = evaluation.validation["target"].logits.argmax(1)
        share = target.bincount().max().item() / len(target)
        if share > self.majority:
            yield (
                "predictions",
                f"predictions have collapsed: {share:.0%} of target rows are in one class; "
                "lower method.weight or the learning rate",
            )

    def state_dict(self) -> dict[str, object]:
        return {"before": self.before, "said": sorted(self.said)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        before, said = state["before"], state["said"]
        self.before = before if isinstance(before, float) else None
        self.said = set(said) if isinstance(said, list) else set()


def variance(evaluation: Evaluation) -> float:
    """Mean squared distance of validation features from their mean."""
    outputs: list[Outputs] = list(evaluation.validation.values())
    features = torch.cat([own.features for own in outputs])
    return (features - features.mean(0)).square().sum(1).mean().item()
