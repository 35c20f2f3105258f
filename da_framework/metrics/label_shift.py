"""A target's probabilities, calibrated and corrected for its class shares; intervals of shares."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.calibrations.bias_corrected_temperature import bias_corrected_temperature
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.label_shift_corrections.em import em
from da_framework.label_shift_corrections.shift_estimate import ShiftEstimate

Calibration = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""What ``calibration=`` builds: of logits and labels, a function from logits to calibrated ones."""
LabelShiftCorrection = Callable[[Tensor, Tensor, Tensor], ShiftEstimate]
"""What ``label_shift_correction=`` builds: class shares of the target, of the source's
probabilities, its labels, and the target's probabilities."""
BIAS_CORRECTED: Calibration = partial(bias_corrected_temperature, ridge=1.0)
LIKELIEST_SHARES: LabelShiftCorrection = partial(em, prior="labels", rounds=10_000, tolerance=1e-8)
"""MLLS, of probabilities that are calibrated so; a class without a source sample has no share."""


class Corrected(NamedTuple):
    """Outputs of both sides, calibrated, and those of the target corrected for its class shares.

    Attributes:
        source: log probabilities of the source, calibrated.
        target: log probabilities of the target, calibrated and corrected.
        estimate: the target's class shares; ``None`` without a correction.
    """

    source: Float[Tensor, "n k"]
    target: Float[Tensor, "m k"]
    estimate: ShiftEstimate | None


class ShareInterval(NamedTuple):
    """Class shares, with a bootstrap interval of each; fractions of 1.

    Attributes:
        shares: estimated of all samples.
        low: ends of the intervals.
        high: the others.
    """

    shares: Float[Tensor, " k"]
    low: Float[Tensor, " k"]
    high: Float[Tensor, " k"]


def correct_label_shift(
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    calibration: Calibration | None = None,
    correction: LabelShiftCorrection | None = None,
) -> Corrected:
    r"""Calibrates logits on the source, and reweights the target's by its estimated class shares.

    .. math:: p_T(j \mid x) \propto w_j \, p_S(j \mid x), \qquad w_j = \frac{p_T(j)}{p_S(j)}

    Bayes' rule, where the samples of a class look alike on both sides. Saerens, Latinne,
    Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple
    Procedure", Neural Computation 2002, eq. 4. https://doi.org/10.1162/089976602753284446

    Args:
        source: logits of held-out source samples.
        y: their labels.
        target: logits of target samples.
        calibration: fitted to the source; ``None``: the logits as they are.
        correction: estimates the weights; ``None``: no reweighting.

    Raises:
        InputError: no class has a weight above 0.
    """
    fitted = calibration(source, y) if calibration else torch.Tensor.double
    source, target = (fitted(side).log_softmax(1) for side in (source, target))
    if correction is None:
        return Corrected(source, target, None)
    estimate = correction(source.exp(), y, target.exp())
    if not (estimate.weights > 0).any():
        raise InputError(
            "no class that is predicted on the target is predicted on the held-out source, so its "
            "class shares cannot be estimated: label_shift_correction=null"
        )
    return Corrected(source, (target + estimate.weights.log()).log_softmax(1), estimate)


def correct_outputs(
    outputs: Mapping[str, Outputs],
    *,
    calibration: Calibration | None = None,
    correction: LabelShiftCorrection | None = None,
) -> Mapping[str, Outputs]:
    """Outputs whose logits are calibrated on ``source``, and corrected in the other roles.

    Args:
        outputs: by role, ``source`` among them with its labels.
        calibration: as of ``correct_label_shift``.
        correction: likewise.

    Raises:
        InputError: a class has no source sample, or none has a weight above 0.
    """
    if calibration is None and correction is None:
        return outputs
    if "source" not in outputs:
        raise InputError(
            "a calibration and a correction of label shift are fitted to held-out source samples, "
            "and there are none"
        )
    source = outputs["source"]
    if correction:
        refuse_missing_classes(source)
    changed = dict(outputs)
    for role, own in outputs.items():
        corrected = correct_label_shift(
            source.logits, source.y, own.logits, calibration=calibration, correction=correction
        )
        shown = corrected.source if role == "source" else corrected.target
        changed[role] = own._replace(logits=shown)
    return changed


def refuse_missing_classes(source: Outputs) -> None:
    """Refuses held-out samples among which a class is missing: its share cannot be estimated.

    Raises:
        InputError: one is.
    """
    k = source.logits.shape[1]
    if missing := (torch.bincount(source.y, minlength=k) == 0).nonzero()[:, 0].tolist():
        raise InputError(
            f"of {len(missing)} of {k} classes there is no held-out source sample, so their shares "
            "cannot be estimated: label_shift_correction=null, or a run with a larger dataset.val"
        )


def bootstrap_shares(
    estimate: LabelShiftCorrection,
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    draws: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> ShareInterval:
    """Class shares with percentile intervals over samples of both sides drawn with replacement.

    Each interval is of one class, and knows of the samples alone: not of a shift that is more than
    one of the shares. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of
    Statistics 1979. https://doi.org/10.1214/aos/1176344552

    Args:
        estimate: of the shares.
        source: probabilities of held-out source samples.
        y: their labels; every class is drawn as often as it is there.
        target: probabilities of target samples.
        draws: how many.
        level: share of the draws that an interval holds.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    members = [(y == label).nonzero()[:, 0].cpu() for label in range(source.shape[1])]

    def draw(rows: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        return rows[torch.randint(max(len(rows), 1), (len(rows),), generator=generator)]

    every, estimates = torch.arange(len(target)), []
    for _ in range(draws):
        i = torch.cat([draw(rows) for rows in members]).to(y.device)
        drawn_target = target[draw(every).to(target.device)]
        estimates.append(estimate(source[i], y[i], drawn_target).shares)
    drawn = torch.stack(estimates)
    low, high = (drawn.quantile(end, dim=0) for end in ((1 - level) / 2, (1 + level) / 2))
    return ShareInterval(estimate(source, y, target).shares, low, high)


def accuracy_in_shares(
    predicted: Int[Tensor, " n"], y: Int[Tensor, " n"], shares: Float[Tensor, " k"]
) -> float:
    r"""Accuracy of predictions if the classes had other shares; a fraction of 1.

    .. math:: \sum_j q_j \, p(\hat y = j \mid y = j)

    Args:
        predicted: classes.
        y: labels.
        shares: of each class; none of a class that no label has.
    """
    k = len(shares)
    members, right = (torch.bincount(of, minlength=k) for of in (y, y[predicted == y]))
    return float((shares * right / members.clamp_min(1)).sum())
