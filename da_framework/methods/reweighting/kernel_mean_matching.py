"""Density ratio by weights under which the domains have the same mean in a kernel's space."""

import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.types import NonNegative, Positive
from da_framework.methods.reweighting.distances import (
    centred,
    cross_squared_distances,
    median_distance,
)

KERNEL_BLOCK = 4096
"""Samples whose kernel matrix is there at a time."""
ERROR = 1e-3
"""Root mean square by which the weights may miss the optimum."""
GRADIENT_STEPS = 10_000
"""Steps after which the weights are taken as they are."""


def kernel_mean_matching(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    width: Positive,
    bound: Positive,
    slack: NonNegative | None,
    ridge: Positive | None,
) -> Float[Tensor, " n"]:
    r"""Kernel mean matching: weights that bring the source's kernel mean to the target's.

    .. math::
        \min_{0 \le \beta \le B} \; \frac{1}{2n} \beta^\top K \beta - \kappa^\top \beta
        + \frac{\lambda}{2} \lVert \beta \rVert^2, \quad
        \kappa_i = \overline{k(x_i, T)}, \quad
        \left| \sum_i \beta_i - n \right| \le n \epsilon

    k is a Gaussian. Huang et al., "Correcting Sample Selection Bias by Unlabeled Data", NeurIPS
    2006, eq. 12, solved by accelerated projected gradients.
    https://papers.nips.cc/paper/3110-correcting-sample-selection-bias-by-unlabeled-data
    Departures: a ridge λ, without which the means hardly tell a smooth ratio from spikes of 0 and
    B; but for the bounds it is then the estimate of Kanamori, Suzuki, Sugiyama, "Statistical
    Analysis of Kernel-based Least-squares Density-ratio Estimation", Machine Learning 2012,
    https://doi.org/10.1007/s10994-011-5266-3. Of more than 4096 source samples every k-th are one
    block, and each block is brought to the target's mean by itself.

    Args:
        source, target: features.
        width: of the kernel, in median distances of two samples.
        bound: B, the largest weight; 1000 is the paper's.
        slack: ε, by which the mean weight may miss 1; ``None`` is the paper's
            :math:`(\sqrt n - 1) / \sqrt n`.
        ridge: λ; ``None`` is :math:`\min(n, m)^{-.9}`, which vanishes slower than 1 / n and so
            leaves the estimate consistent (Kanamori et al.).
    """
    source, target = centred(source, target)
    sigma = width * median_distance(source, target)
    weights = source.new_empty(len(source))
    blocks = -(-len(source) // KERNEL_BLOCK)
    for number in range(blocks):
        x = source[number::blocks]
        n = len(x)
        parts = [target[i : i + KERNEL_BLOCK] for i in range(0, len(target), KERNEL_BLOCK)]
        near = torch.stack([_kernel(part, x, sigma).sum(0) for part in parts])
        weights[number::blocks] = _matched(
            _kernel(x, x, sigma) / n,
            near.sum(0) / len(target),
            ridge=min(n, len(target)) ** -0.9 if ridge is None else ridge,
            bound=bound,
            slack=1 - n**-0.5 if slack is None else slack,
        )
    return weights


def _kernel(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    return cross_squared_distances(x, y).div_(-2 * sigma**2).exp_()


def _matched(
    kernel: Float[Tensor, "n n"],
    near: Float[Tensor, " n"],
    *,
    ridge: float,
    bound: float,
    slack: float,
) -> Float[Tensor, " n"]:
    """The optimum, by projected gradients with the momentum of a strongly convex function."""
    steepest = kernel.sum(1).max().item() + ridge
    root = (ridge / steepest) ** 0.5
    momentum = (1 - root) / (1 + root)
    weights = ahead = torch.ones_like(near)
    # how far the optimum is at most, given the length of a step: Nesterov's bound by the ridge
    enough = ERROR * len(near) ** 0.5 * ridge / steepest
    for _ in range(GRADIENT_STEPS):
        slope = torch.addmv(ridge * ahead - near, kernel, ahead)
        last, weights = weights, _feasible(ahead - slope / steepest, bound, slack)
        if (weights - ahead).norm() <= enough:
            break
        ahead = weights + momentum * (weights - last)
    return weights


def _feasible(weights: Float[Tensor, " n"], bound: float, slack: float) -> Float[Tensor, " n"]:
    """The nearest weights in [0, B] whose mean misses 1 by no more than the slack."""
    clipped = weights.clamp(0, bound)
    mean = clipped.mean().item()
    if abs(mean - 1) <= slack:
        return clipped
    # the same shift of all, by bisection
    goal = 1 + slack if mean > 1 else 1 - slack
    low, high = weights.min().item() - bound, weights.max().item()
    for _ in range(100):
        shift = (low + high) / 2
        too_large = (weights - shift).clamp(0, bound).mean().item() > goal
        low, high = (shift, high) if too_large else (low, shift)
    return (weights - high).clamp(0, bound)
