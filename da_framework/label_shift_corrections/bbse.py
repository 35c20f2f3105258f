"""Black-box shift estimation."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.label_shift_corrections.shift_estimate import (
    Mode,
    ShiftEstimate,
    normalised,
    predicted_shares,
)


def bbse(
    source: Float[Tensor, "n k"], y: Int[Tensor, " n"], target: Float[Tensor, "m k"], *, mode: Mode
) -> ShiftEstimate:
    r"""Black-box shift estimation: the class shares that explain how often each is predicted.

    .. math:: w = \max(\hat C^{-1} \hat\mu, 0), \qquad
        \hat C_{ij} = p_S(\hat y = i, y = j), \quad
        \hat\mu_i = p_T(\hat y = i), \qquad
        q_j \propto w_j \, p_S(y = j)

    ``soft`` takes mean probabilities in the place of how often a class is predicted. Needs no
    calibrated model, only one that confuses classes alike on both sides. Lipton, Wang, Smola,
    "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018.
    https://arxiv.org/abs/1802.03916
    Departures: shares are scaled to sum 1; of a singular matrix the pseudo-inverse is taken. A
    class without a source sample has no share.

    Args:
        source: probabilities of held-out source samples.
        y: their labels.
        target: probabilities of target samples.
        mode: ``hard`` or ``soft``.
    """
    joint, predicted, labels = predicted_shares(source, y, target, mode=mode)
    weights = (torch.linalg.pinv(joint) @ predicted).clamp_min(0)
    return ShiftEstimate(weights, normalised(weights * labels))
