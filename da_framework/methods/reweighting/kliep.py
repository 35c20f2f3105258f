"""Density ratio by the likelihood of the target."""

from math import log
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.errors import InputError
from da_framework.core.types import Count, Positive
from da_framework.methods.reweighting.distances import (
    centred,
    cross_squared_distances,
    median_distance,
)

FOLDS = 5
"""Parts of the target in the choice of the width."""
LIKELIHOOD_GAP = 2e-3
"""How far the mean log likelihood may be from its maximum, in nats."""
EM_STEPS = 10_000
"""Steps of EM after which the mixture is taken as it is."""


def kliep(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    centres: Count,
    widths: Annotated[list[Positive], Field(min_length=1)],
) -> Float[Tensor, " n"]:
    r"""Weights of the source's samples under which the source is likeliest to be the target.

    .. math::
        w(x) = \sum_l \alpha_l \exp \left( -\frac{\lVert x - c_l \rVert^2}{2 \sigma^2} \right),
        \qquad \max_{\alpha \ge 0} \; \overline{\log w(T)} \quad \text{with} \quad
        \overline{w(S)} = 1

    Centres are samples of the target. Scaled so that each kernel alone has mean 1 on the source,
    the coefficients π are shares, and the problem is that of a mixture's proportions: EM climbs to
    its maximum, and the largest slope says how far that still is.

    Sugiyama et al., "Direct Importance Estimation with Model Selection and Its Application to
    Covariate Shift Adaptation", NeurIPS 2007; "Direct Importance Estimation for Covariate Shift
    Adaptation", AISM 2008. https://doi.org/10.1007/s10463-008-0197-x
    Departures: EM in place of projected gradients, for the same maximum; σ is not the width of the
    largest cross-validated likelihood, which a few samples decide, but the widest whose likelihood
    is within a standard error of it (Breiman et al., "Classification and Regression Trees", 1984).

    Args:
        source, target: features.
        centres: how many at most; 100 is the paper's.
        widths: to choose σ from, in median distances of two samples.

    Raises:
        InputError: fewer than two target samples.
    """
    if len(target) < 2:
        raise InputError(f"KLIEP needs two target samples, but got {len(target)}")
    source, target = centred(source, target)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    chosen = target[order[:centres].to(target.device)]
    unit = 2 * median_distance(source, target) ** 2
    from_source = cross_squared_distances(source, chosen) / -unit
    from_target = cross_squared_distances(target, chosen) / -unit
    folds = min(FOLDS, len(target))
    held = one_hot(order % folds, folds).T.to(from_target)

    def normalised_kernels(width: float) -> tuple[Tensor, Tensor]:
        """Logarithms of the kernels on either side, each of mean 1 on the source."""
        s, t = from_source / width**2, from_target / width**2
        mean = s.logsumexp(0) - log(len(s))
        return s - mean, t - mean

    scores = []
    for width in widths:
        _, kernels = normalised_kernels(width)
        held_out = _log_mixtures(kernels, _proportions(kernels, 1 - held))
        scores.append((held * held_out).sum(0))
    best = max(scores, key=lambda score: score.mean().item())
    near = [
        width
        for width, score in zip(widths, scores, strict=True)
        if (best - score).mean() <= (best - score).std(unbiased=False) / len(target) ** 0.5
    ]
    on_source, on_target = normalised_kernels(max(near))
    shares = _proportions(on_target, torch.ones_like(held[:1]))
    return _log_mixtures(on_source, shares).squeeze(0).exp()


def _log_mixtures(
    kernels: Float[Tensor, "m l"], shares: Float[Tensor, "f l"]
) -> Float[Tensor, "f m"]:
    """Logarithms of mixtures, given those of their parts: nothing is too unlikely for them."""
    return torch.stack([(kernels + share.log()).logsumexp(1) for share in shares])


def _proportions(kernels: Float[Tensor, "m l"], rows: Float[Tensor, "f m"]) -> Float[Tensor, "f l"]:
    """Shares of a mixture's parts under which each of these sets of samples is the likeliest."""
    # what multiplies a sample multiplies its likelihood, whatever the shares
    likelihood = (kernels - kernels.amax(1, keepdim=True)).exp()
    each = rows / rows.sum(1, keepdim=True)
    shares = torch.full_like(rows[:, :1], 1 / kernels.shape[1]).expand(-1, kernels.shape[1])
    for _ in range(EM_STEPS):
        # a sample that is left out may be impossible without itself
        slope = (each / (shares @ likelihood.T).clamp_min(1e-300)) @ likelihood
        if slope.max() <= 1 + LIKELIHOOD_GAP:
            break
        shares = shares * slope
    return shares
