"""Says in words when training goes wrong in a way the losses do not show."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.batch import Outputs
from da_framework.core.labels import LABELLED_ROLES
from da_framework.metrics.domain_distance import domain_accuracy

log = logging.getLogger(__name__)

SEEN = 0.65
"""Domain accuracy from which on a shift is there to be seen."""


class Diagnostics(Callback):
    """Reads how well domains, features and task are, and warns once of each thing that is ill.

    The figures stand in the history as ``diagnosis/...``; reading them changes no number.

    Args:
        spread: share of the untrained features' variance under which they count as collapsed.
        majority: share of target rows in one class above which predictions count as collapsed.
        pull: of the added terms' gradient, relative to the labels', above which a task that is
            not learnt counts as lost to them.
        rows: of each side, at most, that domains are told apart by.
        readings: of gradients in a run; each costs about three steps.
    """

    def __init__(
        self, spread: float, majority: float, pull: float, rows: int, readings: int
    ) -> None:
        self.spread = spread
        self.majority = majority
        self.pull = pull
        self.rows = rows
        self.readings = readings

    def on_evaluation(self, trainer: pl.Trainer, module: Any, evaluation: Evaluation) -> None:
        figures = self.figures(evaluation)
        if self.is_due(module) and (ratio := gradient_ratio(module)) is not None:
            figures["gradient_ratio"] = ratio
        module.record({f"diagnosis/{name}": value for name, value in figures.items()})
        found = {"method": "; ".join(evaluation.warnings)} if evaluation.warnings else {}
        if evaluation.step > 0:
            found |= dict(self.faults(evaluation, figures, module.history, module.steps))
        for kind, words in found.items():
            if kind not in module.verdicts:
                module.verdicts[kind] = {"step": evaluation.step, "words": words}
                if trainer.is_global_zero:
                    log.warning("warning at step %d: %s", evaluation.step, words)

    def figures(self, evaluation: Evaluation) -> dict[str, float]:
        """What the outputs of an evaluation tell."""
        target = evaluation.validation["target"]
        counts = target.logits.argmax(1).bincount()
        found = {
            "spread": variance(list(evaluation.validation.values())),
            "majority": counts.max().item() / len(target.logits),
        }
        if "source" in evaluation.validation:
            source = evaluation.validation["source"]
            # one row cannot be fitted to and tested on
            if min(len(source.features), len(target.features)) > 1:
                accuracy = domain_accuracy(source.features, target.features, rows=self.rows)
                found |= {"domain_accuracy": accuracy, "a_distance": max(0.0, 4 * accuracy - 2)}
        return found

    def is_due(self, module: Any) -> bool:
        """Whether gradients are to be read at this evaluation: the first of every share."""
        if module.step == 0 or module.method.closed_form:
            return False
        step, steps = int(module.step), int(module.steps)
        before = max(0, step - int(module.evaluate_every))
        return self.readings * step // steps > self.readings * before // steps

    def faults(
        self,
        evaluation: Evaluation,
        figures: Mapping[str, float],
        history: Sequence[Mapping[str, Any]],
        steps: int,
    ) -> Iterator[tuple[str, str]]:
        """Kinds of what is ill, each with a sentence."""
        before = next(iter(column(history, "diagnosis/spread")), 0.0)
        if figures["spread"] < self.spread * before:
            yield (
                "features",
                f"features have collapsed: their variance is {figures['spread'] / before:.0e} of"
                " what it was untrained; lower method.weight, ramp it, or use batch norm",
            )
        if figures["majority"] > self.majority:
            yield (
                "predictions",
                f"predictions have collapsed: {figures['majority']:.0%} of target rows are in one "
                "class; lower method.weight or the learning rate",
            )
        losses = column(history, "train/domain")
        blind = bool(losses) and all(abs(loss - math.log(2)) < 0.003 for loss in losses)
        if blind and 4 * evaluation.step >= steps and figures.get("domain_accuracy", 0.5) > SEEN:
            yield (
                "discriminator",
                "the discriminator is at chance from the start: it cannot see the shift, which a "
                f"linear classifier sees with {figures['domain_accuracy']:.0%} accuracy; is it "
                "given the features, is it learning, are its logits of more than one value?",
            )
        ratios = column(history, "diagnosis/gradient_ratio")
        if ratios and not any(ratios) and 2 * evaluation.step >= steps:
            yield (
                "gradient",
                "what the method adds does not reach the encoder: its gradient there is 0; its "
                "weight or coefficient is 0, or it is computed from detached features",
            )
        source = column(history, "source/accuracy")
        if ratios and max(ratios) > self.pull and lost(source, len(evaluation.task.classes)):
            yield (
                "task",
                f"the task is lost: held-out source accuracy is {source[-1]:.0%} (best so far "
                f"{max(source):.0%}) and what the method adds has pulled {max(ratios):.0f} times "
                "as hard on the encoder as the labels do; lower method.weight, or ramp it",
            )


def column(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """A figure over the run."""
    return [row[name] for row in history if name in row]


def lost(accuracies: Sequence[float], classes: int) -> bool:
    """Whether a task is near chance, or well below what it was."""
    chance = 1 / classes
    near = accuracies[-1] < chance + 0.25 * (1 - chance)
    return near or accuracies[-1] < max(accuracies) - 0.1


def variance(outputs: Sequence[Outputs]) -> float:
    """Mean squared distance of features from their mean."""
    features = torch.cat([own.features for own in outputs])
    return (features - features.mean(0)).square().sum(1).mean().item()


def gradient_ratio(module: Any) -> float | None:
    """Norm of the added terms' gradient in the encoder, relative to the labels'.

    On the batch of the next step. What the passes change, as running statistics, is put back.

    Returns:
        None where nothing is added, or no label teaches the encoder.
    """
    method, parts = module.method, module.method.parts()
    buffers = [(buffer, buffer.clone()) for buffer in method.buffers()]
    encoder = [p for p in method.network.encoder.parameters() if p.requires_grad]
    norms: dict[bool, float] = {}
    with torch.enable_grad():
        batch = module.domains.batch(module.step, module.global_rank, module.trainer.world_size)
        for objective in method.objectives(batch):
            moved = [m for name in objective.updates for m in parts[name]]
            own = {id(p) for m in moved for p in m.parameters()}
            read = [p for p in encoder if id(p) in own]
            for added in (False, True):
                terms = [
                    t
                    for name, t in objective.terms.items()
                    if (name not in LABELLED_ROLES) == added
                ]
                if read and terms:
                    total = sum(term.weight * term.value for term in terms)
                    norms[added] = norms.get(added, 0.0) + norm(total, read)
    with torch.no_grad():
        for buffer, kept in buffers:
            buffer.copy_(kept)
    return norms[True] / norms[False] if True in norms and norms.get(False) else None


def norm(value: Any, parameters: Sequence[Tensor]) -> float:
    """Of a value's gradient in these parameters."""
    if not value.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(g.double().square().sum().item() for g in gradients if g is not None))
