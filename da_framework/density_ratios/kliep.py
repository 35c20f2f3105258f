"""Density ratio by the likelihood of the target."""

from math import log
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from da_framework.density_ratios.distances import centred, median_distance, squared_distances
from da_framework.ranges import Count, Positive

FOLDS = 5
"""Parts of the target in the choice of the width."""
GAP = 2e-3
"""How far the mean log likelihood may be from its maximum, in nats."""
STEPS = 10_000
"""Steps after which it is taken as it is."""


def kliep(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    centres: Count,
    widths: Annotated[list[Positive], Field(min_length=1)],
) -> Float[Tensor, " n"]:
    r"""Weights of the source's rows under which the source is likeliest to be the target.

    .. math::
        w(x) = \sum_l \alpha_l \exp \left( -\frac{\lVert x - c_l \rVert^2}{2 \sigma^2} \right),
        \qquad \max_{\alpha \ge 0} \; \overline{\log w(T)} \quad \text{with} \quad
        \overline{w(S)} = 1

    Centres are rows of the target. Scaled so that each kernel alone has mean 1 on the source, the
    coefficients π are shares, and the problem is that of a mixture's proportions: EM climbs to its
    maximum, and the largest slope says how far that still is.

    Sugiyama et al., "Direct Importance Estimation with Model Selection and Its Application to
    Covariate Shift Adaptation", NeurIPS 2007; "Direct Importance Estimation for Covariate Shift
    Adaptation", AISM 2008. https://doi.org/10.1007/s10463-008-0197-x
    Departures: EM in place of projected gradients, for the same maximum; σ is not the width of the
    largest cross-validated likelihood, which a few rows decide, but the widest whose likelihood is
    within a standard error of it (Breiman et al., "Classification and Regression Trees", 1984).

    Args:
        source, target: features.
        centres: how many at most; 100 is the paper's.
        widths: to choose σ from, in median distances of two rows.

    Raises:
        ValueError: fewer than two target rows.
    """
    if len(target) < 2:
        raise ValueError(f"KLIEP needs two target rows, but got {len(target)}")
    source, target = centred(source, target)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    chosen = target[order[:centres].to(target.device)]
    unit = 2 * median_distance(source, target) ** 2
    from_source = squared_distances(source, chosen) / -unit
    from_target = squared_distances(target, chosen) / -unit
    fold = (order % min(FOLDS, len(target))).to(target.device)

    def fitted(width: float) -> tuple[Tensor, Tensor]:
        """Logarithms of the kernels on either side, each of mean 1 on the source."""
        s, t = from_source / width**2, from_target / width**2
        mean = s.logsumexp(0) - log(len(s))
        return s - mean, t - mean

    scores = []
    for width in widths:
        _, kernels = fitted(width)
        held = torch.empty_like(kernels[:, 0])
        for number in range(int(fold.max()) + 1):
            own = fold == number
            held[own] = _log_mixture(kernels[own], _proportions(kernels[~own]))
        scores.append(held)
    best = max(scores, key=lambda held: held.mean().item())
    near = [
        width
        for width, held in zip(widths, scores, strict=True)
        if (best - held).mean() <= (best - held).std(unbiased=False) / len(held) ** 0.5
    ]
    on_source, on_target = fitted(max(near))
    return _log_mixture(on_source, _proportions(on_target)).exp()


def _log_mixture(kernels: Float[Tensor, "m l"], shares: Float[Tensor, " l"]) -> Float[Tensor, " m"]:
    """Logarithms of a mixture, given those of its parts: nothing is too unlikely for it."""
    return (kernels + shares.log()).logsumexp(1)


def _proportions(kernels: Float[Tensor, "m l"]) -> Float[Tensor, " l"]:
    """Shares of a mixture's parts, of the largest likelihood."""
    # what multiplies a row multiplies its likelihood, whatever the shares
    likelihood = (kernels - kernels.amax(1, keepdim=True)).exp()
    shares = torch.full_like(kernels[0], 1 / kernels.shape[1])
    for _ in range(STEPS):
        slope = likelihood.T @ (likelihood @ shares).reciprocal() / len(kernels)
        if slope.max() <= 1 + GAP:
            break
        shares = shares * slope
    return shares
