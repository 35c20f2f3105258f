"""Regularised learning under label shift."""

from math import log, sqrt

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.types import NonNegative
from da_framework.label_shift_corrections.shift_estimate import (
    Mode,
    ShiftEstimate,
    normalised,
    predicted_shares,
)

PROBABILITY = 0.05
"""That the bound on the error of the joint shares does not hold."""


def rlls(
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    mode: Mode,
    regularization: NonNegative,
) -> ShiftEstimate:
    r"""Regularised learning under label shift: weights near 1 that explain what is predicted.

    .. math:: w = 1 + \theta, \qquad
        \min_{\theta \ge -1} \lVert \hat C \theta - (\hat\mu - \hat C 1) \rVert
        + \Delta \lVert \theta \rVert, \qquad
        \Delta = 3 \alpha \left( \frac{2 \log(2k / .05)}{3n}
        + \sqrt{\frac{2 \log(2k / .05)}{n}} \right)

    C and μ are those of ``bbse``, which this is at α = 0 where no weight is negative.
    Azizzadenesheli et al., "Regularized Learning for Domain Adaptation under Label Shifts", ICLR
    2019. https://arxiv.org/abs/1903.09734
    Departures: the factor that the paper shrinks θ by is 1, as it is for many samples. A class
    without a source sample has the weight 1 and no share.

    Args:
        source: probabilities of held-out source samples.
        y: their labels.
        target: probabilities of target samples.
        mode: ``hard`` or ``soft``, as of ``bbse``.
        regularization: α; the authors' code has 0.01.
    """
    joint, predicted, labels = predicted_shares(source, y, target, mode=mode)
    n, k = source.shape
    bound = 2 * log(2 * k / PROBABILITY)
    strength = regularization * 3 * (bound / (3 * n) + sqrt(bound / n))
    solved = near_one(joint.cpu().numpy(), predicted.cpu().numpy(), strength)
    weights = torch.as_tensor(solved, device=labels.device)
    return ShiftEstimate(weights, normalised(weights * labels))


def near_one(joint: np.ndarray, predicted: np.ndarray, strength: float) -> np.ndarray:
    r"""The :math:`w \ge 0` of least :math:`\lVert C w - \mu \rVert + \Delta \lVert w - 1 \rVert`.

    What minimises a sum of two norms minimises one with squares, for some weight of the second; so
    a single number is searched for, over non-negative least squares.

    Args:
        joint: C.
        predicted: μ.
        strength: Δ.
    """
    from scipy.optimize import minimize_scalar, nnls

    k = len(predicted)

    def solve(ridge: float) -> np.ndarray:
        root = sqrt(ridge)
        stacked = np.concatenate([joint, root * np.eye(k)])
        solution: np.ndarray = nnls(stacked, np.concatenate([predicted, np.full(k, root)]))[0]
        return solution

    def loss(w: np.ndarray) -> float:
        return float(np.linalg.norm(joint @ w - predicted) + strength * np.linalg.norm(w - 1))

    exact = solve(0.0)
    if not strength:
        return exact
    search = minimize_scalar(
        lambda power: loss(solve(10.0**power)), bounds=(-14, 4), method="bounded"
    )
    return min(exact, solve(10.0**search.x), np.ones(k), key=loss)
