"""LogME: how probable the labels are if they are linear in the features."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.metrics.transferability.indicators import indicators

FIXED_POINT_ROUNDS = 1000
"""Rounds after which α / β is taken as it is."""
TOLERANCE = 1e-10
"""Relative change of α / β at which it has settled."""


def log_me(features: Float[Tensor, "n d"], *, y: Int[Tensor, " n"]) -> float:
    r"""Mean over classes of the maximum log evidence of its indicator, per sample, in nats.

    .. math::
        \frac1k \sum_c \frac1n \max_{\alpha, \beta} \log p(y_c \mid F, \alpha, \beta), \qquad
        y_c = F w + \epsilon, \; w \sim N(0, \alpha^{-1} I), \; \epsilon \sim N(0, \beta^{-1} I)

    Any number: a density may be above 1. Unchanged by a rotation or a scale of the features, not
    by a shift: the model has no constant. It compares features on the same samples alone: with
    other shares of the classes it is another number.

    You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML
    2021, algorithm 1. https://arxiv.org/abs/2102.11005

    Args:
        features: F, of the network that is judged.
        y: labels of the target task.

    Raises:
        InputError: labels are hidden or all equal.
    """
    x, targets = features.double(), indicators(y)
    alpha, beta = precisions(x, targets)
    return float(log_evidence(x, targets, alpha=alpha, beta=beta).mean()) / len(x)


def precisions(
    features: Float[Tensor, "n d"], targets: Float[Tensor, "n k"]
) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    r"""α and β of the largest evidence, for each column of targets alone.

    .. math::
        m = \beta A^{-1} F^\top y, \quad A = \alpha I + \beta F^\top F, \quad
        \gamma = \sum_i \frac{\beta \sigma_i^2}{\alpha + \beta \sigma_i^2}, \qquad
        \alpha \leftarrow \frac{\gamma}{m^\top m}, \quad
        \beta \leftarrow \frac{n - \gamma}{\lVert F m - y \rVert^2}

    Departures: each round depends on t = α / β alone, so t is what is followed, to its fixed point
    where the paper's code ends after ten rounds; it begins with the mean of :math:`\sigma_i^2`
    where the paper has α = β = 1, so that the unit of the features does not matter; and t is kept
    within the machine's precision of :math:`\sigma_1^2`, or targets that the features fit exactly
    would have infinite evidence. β is then the best for this t, to which it comes at the fixed
    point.

    Args:
        features: F, with singular values σ.
        targets: a column for each class.
    """
    n = len(features)
    u, squared, z = _spectrum(features, targets)
    outside = (targets - u @ z).square().sum(0)
    largest = squared.max().clamp_min(torch.finfo(squared.dtype).tiny)
    low, high = (largest * torch.finfo(squared.dtype).eps ** sign for sign in (1, -1))
    t = squared.mean().clamp(low, high).expand(targets.shape[1])
    for _ in range(FIXED_POINT_ROUNDS):
        kept = t / (squared + t)  # the share of each direction that the fit leaves
        # n - γ, without the difference of two near numbers
        free = n - len(squared) + kept.sum(0)
        residual = outside + (kept * z).square().sum(0)
        size = (squared * (kept / t * z).square()).sum(0)
        # no weights at all: nothing is linear in these features
        new = ((1 - kept).sum(0) * residual / (free * size)).nan_to_num(high.item())
        t, before = new.clamp(low, high), t
        if ((t - before).abs() <= TOLERANCE * before).all():
            break
    beta = n / (outside + (t / (squared + t) * z.square()).sum(0))
    return t * beta, beta


def log_evidence(
    features: Float[Tensor, "n d"],
    targets: Float[Tensor, "n k"],
    *,
    alpha: Float[Tensor, " k"],
    beta: Float[Tensor, " k"],
) -> Float[Tensor, " k"]:
    r"""Log-density of each column of targets.

    .. math:: \log N(y_c ; 0, \; \beta_c^{-1} I + \alpha_c^{-1} F F^\top)

    Args:
        features: F.
        targets: a column for each class.
        alpha: α, precision of the weights.
        beta: β, precision of the noise.
    """
    n = len(features)
    u, squared, z = _spectrum(features, targets)
    outside = (targets - u @ z).square().sum(0)
    variance = 1 / beta + squared / alpha
    fit = beta * outside + (z.square() / variance).sum(0)
    volume = variance.log().sum(0) - (n - len(squared)) * beta.log()
    return -(fit + volume + n * math.log(2 * math.pi)) / 2


def _spectrum(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left singular vectors, squared singular values as a column, and targets in these terms."""
    u, values, _ = torch.linalg.svd(features, full_matrices=False)
    return u, values.square().unsqueeze(1), u.T @ targets
