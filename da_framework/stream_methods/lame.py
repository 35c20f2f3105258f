"""Predictions that near samples of a batch correct."""

from typing import Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn.functional import normalize

from da_framework.core.types import Count, NonNegative
from da_framework.stream_methods.base import StreamMethod

Affinity = Literal["knn", "rbf", "linear"]


class LAME(StreamMethod):
    r"""Laplacian adjusted maximum-likelihood estimation: near samples of a batch are of a class.

    .. math::
        \min_{z_i \in \Delta} \; \sum_i \mathrm{KL}(z_i \,\|\, p_i)
        - \frac{\lambda}{2} \sum_{i, j} w_{ij} \, z_i^\top z_j, \qquad
        z_i \propto p_i \exp \Big( \lambda \sum_j w_{ij} z_j \Big)

    w is the affinity of features of unit length. The model stays as it is; the fixed point is
    iterated from the model's own predictions. The objective falls with every iteration where w is
    positive semidefinite (``rbf``, ``linear``); where it would rise, which neighbours can make it
    do, the iteration ends. Without affinity it is the softmax.

    Boudiaf, Mueller, Ben Ayed, Bertinetto, "Parameter-free Online Test-time Adaptation", CVPR 2022,
    eq. 2-6. https://arxiv.org/abs/2201.05718
    The defaults are the authors': 5 nearest neighbours, at most 100 iterations.
    Departures: the affinity of neighbours is made symmetric, as the objective takes it; their code
    has λ w in the place of λ w / 2 in the objective, whose fixed point is another's.

    Pitfalls: made for streams in which classes come in clumps; in batches of many classes, some
    samples each, it makes predictions worse, and of one sample it does nothing.

    Args:
        model: a run's trained method.
        affinity: of two samples: ``knn``, 1 where either is among the other's nearest;
            ``rbf``, :math:`e^{-d^2 / 2 \sigma^2}`, σ the mean distance to the last of the nearest;
            ``linear``, the cosine.
        neighbours: how many are nearest.
        weight: λ.
        iterations: at most.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        affinity: Affinity,
        neighbours: Count,
        weight: NonNegative,
        iterations: Count,
    ) -> None:
        super().__init__(model)
        self.affinity, self.neighbours = affinity, neighbours
        self.weight, self.iterations = weight, iterations

    @torch.no_grad()
    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        features, logits = self.outputs(x)
        log_p = logits.log_softmax(1)
        w = self.weight * affinities(normalize(features), self.affinity, self.neighbours)
        z, best = log_p.exp(), laplacian_objective(log_p.exp(), log_p, w)
        for _ in range(self.iterations):
            following = (log_p + w @ z).softmax(1)
            value = laplacian_objective(following, log_p, w)
            if not value < best - 1e-8 * best.abs():
                break
            z, best = following, value
        return z


def laplacian_objective(
    z: Float[Tensor, "n k"], log_p: Float[Tensor, "n k"], w: Float[Tensor, "n n"]
) -> Float[Tensor, ""]:
    """What LAME minimises.

    Args:
        z: assignments.
        log_p: logarithms of the model's probabilities.
        w: affinities, times their weight.
    """
    divergence = -torch.special.entr(z).sum() - (z * log_p).sum()
    value: Tensor = divergence - (w * (z @ z.T)).sum() / 2
    return value


def affinities(
    features: Float[Tensor, "n d"], kind: Affinity, neighbours: int
) -> Float[Tensor, "n n"]:
    """Affinities of all pairs; of a sample with itself among neighbours there is none.

    Args:
        features: of unit length.
        kind: of affinity.
        neighbours: how many are nearest.
    """
    if kind == "linear":
        cosine: Tensor = features @ features.T
        return cosine
    count = min(neighbours, len(features) - 1)
    distance = torch.cdist(features, features)
    if not count:
        return torch.zeros_like(distance)
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    nearest = distance.masked_fill(itself, torch.inf).topk(count, largest=False)
    if kind == "rbf":
        width = nearest.values[:, -1].mean().clamp_min(1e-12)
        return torch.exp(-(distance**2) / (2 * width**2))
    near = torch.zeros_like(distance).scatter_(1, nearest.indices, 1.0)
    return torch.maximum(near, near.T)
