"""Warns in words when training goes wrong in a way the losses do not show."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from da_framework.callbacks.base import Callback, Evaluation, add_verdict
from da_framework.core.batch import Outputs
from da_framework.core.labels import LABELLED_ROLES
from da_framework.metrics.domain_distance import domain_accuracy

SKEW = 0.05
"""By how much the largest class may be larger on the target than on the source."""
VISIBLE_SHIFT = 0.65
"""Domain accuracy from which on a shift is there to be seen."""


class Diagnostics(Callback):
    """Follows how features, domains and task fare, and warns once of each thing that goes wrong.

    The figures stand in the history as ``diagnosis/...``; measuring them changes no number.

    Args:
        min_feature_variance: share of the untrained features' variance under which they count as
            collapsed.
        max_class_share: share of target samples in one class above which predictions count as
            collapsed, unless the source's labels are as skewed.
        max_gradient_ratio: norm of the added terms' gradient, relative to the labels', above which
            a task that is not learnt counts as lost to them.
        rows: samples of each side, at most, that domains are told apart by.
        readings: evaluations in a run at which gradients are measured; each costs about three
            steps.
    """

    def __init__(
        self,
        min_feature_variance: float,
        max_class_share: float,
        max_gradient_ratio: float,
        rows: int,
        readings: int,
    ) -> None:
        self.min_feature_variance = min_feature_variance
        self.max_class_share = max_class_share
        self.max_gradient_ratio = max_gradient_ratio
        self.rows = rows
        self.readings = readings

    def on_evaluation(self, trainer: pl.Trainer, module: Any, evaluation: Evaluation) -> None:
        figures = self.figures(evaluation)
        if self.is_due(module) and (ratio := gradient_ratio(module)) is not None:
            figures["gradient_ratio"] = ratio
        module.record({f"diagnosis/{name}": value for name, value in figures.items()})
        sentences = {"method": "; ".join(evaluation.warnings)} if evaluation.warnings else {}
        if evaluation.step > 0:
            sentences |= dict(self.faults(evaluation, figures, module))
        for kind, sentence in sentences.items():
            add_verdict(trainer, module, kind, sentence)

    def figures(self, evaluation: Evaluation) -> dict[str, float]:
        """The figures that the outputs of an evaluation give."""
        target = evaluation.validation["target"]
        counts = target.logits.argmax(1).bincount()
        figures = {
            "spread": feature_variance(list(evaluation.validation.values())),
            "majority": counts.max().item() / len(target.logits),
        }
        if "source" in evaluation.validation:
            source = evaluation.validation["source"]
            # one sample cannot be fitted to and tested on
            if min(len(source.features), len(target.features)) > 1:
                accuracy = domain_accuracy(source.features, target.features, rows=self.rows)
                figures |= {"domain_accuracy": accuracy, "a_distance": max(0.0, 4 * accuracy - 2)}
        return figures

    def is_due(self, module: Any) -> bool:
        """Whether gradients are measured at this evaluation: the first of every share."""
        if module.step == 0 or module.method.closed_form:
            return False
        step, steps = int(module.step), int(module.steps)
        before = max(0, step - int(module.evaluate_every))
        return self.readings * step // steps > self.readings * before // steps

    def faults(
        self,
        evaluation: Evaluation,
        figures: Mapping[str, float],
        module: Any,
    ) -> Iterator[tuple[str, str]]:
        """What goes wrong: its kind, and a sentence for a person."""
        history, steps = module.history, module.steps
        before = next(iter(history_column(history, "diagnosis/spread")), 0.0)
        if figures["spread"] < self.min_feature_variance * before:
            yield (
                "features",
                f"features have collapsed: their variance is {figures['spread'] / before:.0e} of"
                f" what it was untrained; {how_to_weaken(module.method)}, or use batch norm",
            )
        if figures["majority"] > self.max_class_share and not is_as_skewed(evaluation, figures):
            yield "predictions", describe_majority(evaluation, figures, module.method)
        losses = history_column(history, "train/domain")
        blind = bool(losses) and all(abs(loss - math.log(2)) < 0.003 for loss in losses)
        if (
            blind
            and 4 * evaluation.step >= steps
            and figures.get("domain_accuracy", 0.5) > VISIBLE_SHIFT
        ):
            yield (
                "discriminator",
                "the discriminator is at chance from the start: it cannot see the shift, which a "
                f"linear classifier sees with {figures['domain_accuracy']:.0%} accuracy; is it "
                "given the features, is it learning, are its logits of more than one value?",
            )
        ratios = history_column(history, "diagnosis/gradient_ratio")
        if ratios and not any(ratios) and 2 * evaluation.step >= steps:
            yield (
                "gradient",
                "what the method adds does not reach the encoder: its gradient there is 0; its "
                "weight or coefficient is 0, or it is computed from detached features",
            )
        source = history_column(history, "source/accuracy")
        if (
            ratios
            and max(ratios) > self.max_gradient_ratio
            and is_task_lost(source, len(evaluation.task.classes))
        ):
            yield (
                "task",
                f"the task is lost: held-out source accuracy is {source[-1]:.0%} (best so far "
                f"{max(source):.0%}) and what the method adds has pulled {max(ratios):.0f} times "
                f"as hard on the encoder as the labels do; {how_to_weaken(module.method)}",
            )


def is_as_skewed(evaluation: Evaluation, figures: Mapping[str, float]) -> bool:
    """Whether the source's labels are nearly as much in one class as the target's predictions.

    Not where these are all in one, which is a collapse however skewed the classes are.
    """
    source = evaluation.validation.get("source")
    if source is None or figures["majority"] == 1:
        return False
    share = source.y.bincount().max().item() / len(source.y)
    return figures["majority"] - share < SKEW


def describe_majority(evaluation: Evaluation, figures: Mapping[str, float], method: Any) -> str:
    """What it means that most target samples are put in one class, as far as can be known.

    A method may have put them there, or the target may truly be so skewed: its labels would tell,
    and are not looked at.
    """
    share = f"{figures['majority']:.0%} of target samples are put in one class"
    if evaluation.validation.keys() >= {"source"} and figures["majority"] < 1:
        source = evaluation.validation["source"]
        accuracy = (source.logits.argmax(1) == source.y).float().mean().item()
        majority = source.y.bincount().max().item() / len(source.y)
        if accuracy > max(majority, 0.5) + SKEW:
            return (
                f"{share}, while held-out source accuracy is {accuracy:.0%}: a target that is "
                "truly so skewed looks like this, and validators that expect classes of one size "
                "(information_maximization, bnm) mislead there; of any other target, predictions "
                f"have collapsed: {how_to_weaken(method)}"
            )
    return f"predictions have collapsed: {share}; {how_to_weaken(method)}"


def how_to_weaken(method: Any) -> str:
    """How what a method does to the features is made less, by keys that it has."""
    if hasattr(method, "weight"):
        return "lower method.weight, ramp it, or lower optimizer.lr"
    return "lower optimizer.lr"


def history_column(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The values of a figure over the run, where it was recorded."""
    return [row[name] for row in history if name in row]


def is_task_lost(accuracies: Sequence[float], classes: int) -> bool:
    """Whether a task is near chance, or well below what it was."""
    chance = 1 / classes
    near = accuracies[-1] < chance + 0.25 * (1 - chance)
    return near or accuracies[-1] < max(accuracies) - 0.1


def feature_variance(outputs: Sequence[Outputs]) -> float:
    """Mean squared distance of features from their mean."""
    features = torch.cat([side.features for side in outputs])
    return (features - features.mean(0)).square().sum(1).mean().item()


def gradient_ratio(module: Any) -> float | None:
    """Norm of the added terms' gradient in the encoder, relative to the labels'.

    On the batch of the next step. What the passes change, as running statistics, is put back.

    Returns:
        None where nothing is added, or no label teaches the encoder.
    """
    buffers = [(buffer, buffer.clone()) for buffer in module.method.buffers()]
    try:
        return measure_gradient_ratio(module)
    finally:  # whatever happens: training goes on with them
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)


def measure_gradient_ratio(module: Any) -> float | None:
    """The same, but what the passes change stays changed."""
    method, parts = module.method, module.method.parts()
    encoder = [p for p in method.network.encoder.parameters() if p.requires_grad]
    norms: dict[bool, float] = {}
    with torch.enable_grad():
        batch = module.domains.batch(module.step, module.global_rank, module.trainer.world_size)
        for objective in method.objectives(batch):
            moved = [m for name in objective.updates for m in parts[name]]
            moved_ids = {id(p) for m in moved for p in m.parameters()}
            reached = [p for p in encoder if id(p) in moved_ids]
            for added in (False, True):
                terms = [
                    t
                    for name, t in objective.terms.items()
                    if (name not in LABELLED_ROLES) == added
                ]
                if reached and terms:
                    total = sum(term.weight * term.value for term in terms)
                    norms[added] = norms.get(added, 0.0) + gradient_norm(total, reached)
    return norms[True] / norms[False] if True in norms and norms.get(False) else None


def gradient_norm(value: Any, parameters: Sequence[Tensor]) -> float:
    """Euclidean norm of a value's gradient in these parameters."""
    if not value.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(g.double().square().sum().item() for g in gradients if g is not None))
