"""Discrepancy between the domains class by class: small within a class, large between classes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.types import Count
from da_framework.losses.mmd import gaussian, pairwise_squared_distances


def contrastive_discrepancy(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    y_source: Int[Tensor, " n"],
    y_target: Int[Tensor, " m"],
    classes: Count,
    bandwidths: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    r"""Contrastive domain discrepancy: mean squared MMD of the same class less that of others.

    .. math::
        \frac1K \sum_c D_{cc} - \frac{1}{K (K-1)} \sum_{c \ne c'} D_{cc'},
        D_{cc'} = \overline{k(S_c, S_c)} + \overline{k(T_{c'}, T_{c'})}
        - 2 \, \overline{k(S_c, T_{c'})}

    over the K classes of which the batch has samples of both domains; 0 where there is none.

    Kang et al., "Contrastive Adaptation Network for Unsupervised Domain Adaptation", CVPR 2019.
    https://arxiv.org/abs/1901.00976

    Args:
        source, target: features of the two batches.
        y_source: labels.
        y_target: labels made up for the target; negative ones leave a sample out.
        classes: how many there are.
        bandwidths: the widths of the Gaussian kernels, of which the mean is taken.
    """
    n = len(source)
    if classes > n + len(target):  # of most there is no sample, and a matrix of all pairs is large
        present, places = torch.unique(torch.cat([y_source, y_target]), return_inverse=True)
        classes = len(present)
        y_source, y_target = places.where(present[places] >= 0, -1).split([n, len(target)])
    kernel = gaussian(pairwise_squared_distances(torch.cat([source, target])), bandwidths)
    s, t = (_members(y, classes, kernel) for y in (y_source, y_target))
    here, there = s.sum(0) > 0, t.sum(0) > 0
    within_source = (s * (kernel[:n, :n] @ s)).sum(0)
    within_target = (t * (kernel[n:, n:] @ t)).sum(0)
    distance = within_source[:, None] + within_target - 2 * s.T @ kernel[:n, n:] @ t
    both = here & there
    pairs = (both[:, None] & both).to(kernel)
    same = torch.diag(pairs.diagonal())
    other = pairs - same
    intra = (distance * same).sum() / same.sum().clamp_min(1)
    return intra - (distance * other).sum() / other.sum().clamp_min(1)


def _members(y: Int[Tensor, " rows"], classes: int, like: Tensor) -> Float[Tensor, "rows classes"]:
    """Each sample's share in its class's mean; none where the label is negative."""
    member = one_hot(y.clamp_min(0), classes).to(like) * (y >= 0).to(like)[:, None]
    return member / member.sum(0).clamp_min(1)
