"""Distances of source samples to the few labelled target samples, by whether the class is one."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from da_framework.core.types import Positive
from da_framework.losses.mmd import pairwise_squared_distances

SHORTEST = 1e-12
"""Squared distance below which the distance of a pair has no gradient: its root has none at 0."""


def contrastive_semantic_alignment(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    y_source: Int[Tensor, " n"],
    y_target: Int[Tensor, " m"],
    margin: Positive,
) -> Float[Tensor, ""]:
    r"""Pairs of one class as near as can be, pairs of two classes a margin apart.

    .. math::
        \overline{\tfrac12 d_{ij}^2}_{\;y_i = y_j} +
        \overline{\tfrac12 \max(0, m - d_{ij})^2}_{\;y_i \ne y_j},
        \qquad d_{ij} = \lVert s_i - t_j \rVert

    Motiian et al., "Unified Deep Supervised Domain Adaptation and Generalization", ICCV 2017.
    https://arxiv.org/abs/1709.10190
    Departure: each of the two is the mean over its pairs, where the paper has sums, so that neither
    outweighs the other by how many there are; without a pair of a kind its part is 0.

    Args:
        source, target: features of the two batches.
        y_source, y_target: labels.
        margin: m, in units of the features.
    """
    squared, same = _pairs(source, target, y_source, y_target)
    short = (margin - squared.clamp_min(SHORTEST).sqrt()).clamp_min(0)
    return (_mean_over(squared, same) + _mean_over(short.square(), ~same)) / 2


def neighborhood_margin(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    y_source: Int[Tensor, " n"],
    y_target: Int[Tensor, " m"],
    margin: Positive,
) -> Float[Tensor, ""]:
    r"""By how much a class's farthest source sample is not a margin nearer than all other classes.

    .. math::
        \frac1m \sum_j \max \left( 0, \; \gamma + \max_{i: y_i = y_j} d_{ij}^2 -
        \min_{i: y_i \ne y_j} d_{ij}^2 \right), \qquad d_{ij} = \lVert s_i - t_j \rVert

    over the target samples whose class, and another, is among the source samples; 0 where there is
    none.

    Xu et al., "d-SNE: Domain Adaptation Using Stochastic Neighborhood Embedding", CVPR 2019.
    https://arxiv.org/abs/1905.12775

    Args:
        source, target: features of the two batches.
        y_source, y_target: labels.
        margin: γ, in squared units of the features.
    """
    squared, same = _pairs(source, target, y_source, y_target)
    farthest = squared.masked_fill(~same, -torch.inf).amax(0)
    nearest = squared.masked_fill(same, torch.inf).amin(0)
    known = same.any(0) & ~same.all(0)
    return _mean_over((margin + farthest - nearest).where(known, 0.0).clamp_min(0), known)


def _pairs(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    y_source: Int[Tensor, " n"],
    y_target: Int[Tensor, " m"],
) -> tuple[Float[Tensor, "n m"], Bool[Tensor, "n m"]]:
    """The squared distance of every pair of a source and a target sample; whether of one class."""
    n = len(source)
    squared = pairwise_squared_distances(torch.cat([source, target]))[:n, n:]
    return squared, y_source[:, None] == y_target


def _mean_over(
    values: Float[Tensor, "*shape"], chosen: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """The mean of the chosen values; 0 where none is."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
