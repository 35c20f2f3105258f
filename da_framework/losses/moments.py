"""How far the moments of several domains are apart."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot, pdist

from da_framework.core.types import Count, Positive


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


def central_moment_discrepancy(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    orders: Count,
    span: Positive | None,
) -> Float[Tensor, ""]:
    r"""Central moment discrepancy (CMD): of the means, and of each central moment up to an order.

    .. math::
        \frac{1}{s} \lVert \bar S - \bar T \rVert
        + \sum_{k=2}^{K} \frac{1}{s^k} \lVert c_k(S) - c_k(T) \rVert, \qquad
        c_k(X) = \overline{(X - \bar X)^k}

    Powers are taken element by element, so that of every feature's distribution each moment is
    compared, and no two features together. Never in half precision, whatever autocast says.
    Without a span the interval is that of both batches, which has no gradient: the discrepancy is
    then the same in whatever unit features are.

    Zellinger et al., "Central Moment Discrepancy (CMD) for Domain-Invariant Representation
    Learning", ICLR 2017, definition 2. https://arxiv.org/abs/1702.08811

    Args:
        source, target: features of the two batches, within an interval.
        orders: K; 5 is the paper's.
        span: s, the length of that interval: 1 of sigmoids, 2 of hyperbolic tangents; ``None``:
            from the smallest to the largest number of both batches.
    """
    with torch.autocast(source.device.type, enabled=False):
        source, target = (x if x.dtype == torch.float64 else x.float() for x in (source, target))
        if span is None:
            ends = torch.aminmax(torch.cat([source, target]).detach())
            reach = ends.max - ends.min
            length = torch.where(reach > 0, reach, 1)
        else:
            length = source.new_tensor(span)
        # each by the length first: its fifth power may be no number
        source, target = source / length, target / length
        means = source.mean(0), target.mean(0)
        total: Tensor = torch.linalg.vector_norm(means[0] - means[1])
        from_mean = source - means[0], target - means[1]
        powers = list(from_mean)
        for _ in range(2, orders + 1):
            powers = [power * x for power, x in zip(powers, from_mean, strict=True)]
            total = total + torch.linalg.vector_norm(powers[0].mean(0) - powers[1].mean(0))
    return total
