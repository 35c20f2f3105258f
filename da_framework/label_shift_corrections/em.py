"""Expectation maximisation of class shares."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.types import Count, Positive
from da_framework.label_shift_corrections.shift_estimate import ShiftEstimate

LEAST_PROBABILITY = 1e-12


def em(
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    prior: Literal["predicted", "labels"],
    rounds: Count,
    tolerance: Positive,
) -> ShiftEstimate:
    r"""Maximum-likelihood label shift: the class shares under which the target is likeliest, by EM.

    .. math:: q_j \leftarrow \frac1m \sum_i
        \frac{p_{ij} \, q_j / \pi_j}{\sum_l p_{il} \, q_l / \pi_l}, \qquad w_j = q_j / \pi_j

    From the source's shares π on, until no share moves by more than the tolerance. The likelihood
    is concave: there is one maximum. Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a
    Classifier to New a Priori Probabilities: A Simple Procedure", Neural Computation 2002.
    https://doi.org/10.1162/089976602753284446
    More precise than ``bbse`` where the probabilities are calibrated on the source, and off where
    they are not: Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected
    Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    https://arxiv.org/abs/1901.06852

    Args:
        source: probabilities of held-out source samples.
        y: their labels.
        target: probabilities of target samples.
        prior: π: ``predicted``, the mean probabilities of the source, under which a target like the
            source has no shift whatever the calibration (2020); or ``labels``, the shares of its
            labels (2002), by which a class without a source sample has no share.
        rounds: after which the shares are taken as they are.
        tolerance: of each share.
    """
    counted = torch.bincount(y, minlength=source.shape[1]).double() / len(y)
    start = counted if prior == "labels" else source.double().mean(0)
    likelihood = target.double().clamp_min(LEAST_PROBABILITY)
    likelihood = torch.where(start > 0, likelihood / start.clamp_min(LEAST_PROBABILITY), 0.0)
    shares = start
    for _ in range(rounds):
        joint = likelihood * shares
        last, shares = shares, (joint / joint.sum(1, keepdim=True)).mean(0)
        if (shares - last).abs().max() <= tolerance:
            break
    weights = torch.where(start > 0, shares / start.clamp_min(LEAST_PROBABILITY), 0.0)
    return ShiftEstimate(weights, shares)
