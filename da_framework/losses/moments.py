"""How far the moments of several domains are apart."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot, pdist

from da_framework.core.types import Count


def moment_distance(
    features: Float[Tensor, "rows d"],
    domain: Int[Tensor, " rows"],
    *,
    sources: Count,
    orders: Count,
) -> Float[Tensor, ""]:
    r"""Moment distance: between sources and target and among the sources, of the first moments.

    .. math::
        \sum_{k=1}^{K} \left( \frac1N \sum_i \lVert \overline{S_i^k} - \overline{T^k} \rVert
        + \binom N2^{-1} \sum_{i < j} \lVert \overline{S_i^k} - \overline{S_j^k} \rVert \right)

    Powers are taken element by element; K = 2 is the paper's.

    Peng et al., "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019, eq. 1.
    https://arxiv.org/abs/1812.01754

    Args:
        features: of all domains.
        domain: of each sample: under ``sources`` one of the sources, from there on the target.
        sources: N.
        orders: K.
    """
    member = one_hot(domain.clamp_max(sources), sources + 1).to(features.dtype)
    share = member / member.sum(0).clamp_min(1)
    total = features.new_zeros(())
    for order in range(1, orders + 1):
        means = share.T @ features**order
        total = total + torch.linalg.vector_norm(means[:-1] - means[-1], dim=1).mean()
        if sources > 1:
            total = total + pdist(means[:-1]).mean()
    return total
