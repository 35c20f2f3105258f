"""Contrastive adaptation: classes are aligned by the clusters of the target."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Unpack

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from da_framework.core.batch import UNLABELLED, Outputs, Task, Term
from da_framework.core.types import Count, Positive
from da_framework.losses.contrastive_discrepancy import contrastive_discrepancy
from da_framework.losses.mmd import bandwidths
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class CAN(RampedMethod):
    r"""Contrastive adaptation network: brings a class of both domains together, classes apart.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \left( \frac1K \sum_c D_{cc}
        - \frac{1}{K (K-1)} \sum_{c \ne c'} D_{cc'} \right)

    D is the squared MMD between a class of the source and one of the target, whose labels are
    clusters: before every epoch (``refresh_every`` steps; the paper's is a pass over the target)
    spherical k-means over the whole target, begun at the source's class centres. Samples far from
    their centre, and classes of few samples, are left out.

    Kang et al., "Contrastive Adaptation Network for Unsupervised Domain Adaptation", CVPR 2019.
    https://arxiv.org/abs/1901.00976
    Departures: batches are not sampled by class, so that a class counts in the steps in which both
    domains have it; the features of one layer; the same kernels for every pair of classes, where
    the authors' code fits widths to each; no batch norm of each domain's own; a ramp, as clusters
    of untrained features are none.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w; 1.5 is the authors' .3 of a sum of five kernels, of which we take the mean.
        ramp: r, a factor on the weight, as a function of progress.
        distance: (1 - cos) / 2 from its centre above which a sample is left out; .05 is the
            paper's.
        fewest: samples of a cluster under which its class is left out; 3 is the paper's.
        rounds: of k-means.
        factors: of the kernels' squared widths, relative to the batch's mean squared distance.
    """

    refreshes: ClassVar = ("source", "target")
    aligns: ClassVar = True
    factors: Tensor
    clusters: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        distance: Positive,
        fewest: Count,
        rounds: Count,
        factors: Annotated[list[Positive], Field(min_length=1)],
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.distance = distance
        self.fewest = fewest
        self.rounds = rounds
        self.register_buffer("factors", torch.tensor(factors))
        self.register_per_sample("clusters", role="target", value=UNLABELLED)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        source, target = outputs["source"], outputs["target"]
        k = len(self.task.classes)
        centres = begun = _class_centres(normalize(source.features), source.y, k)
        features = normalize(target.features)
        for _ in range(self.rounds):
            labels = (features @ centres.T).argmax(1)
            centres = _class_centres(features, labels, k)
            # a cluster without samples goes back to where it began, or it would never have any
            centres = torch.where(centres.any(1, keepdim=True), centres, begun)
        cosine, labels = (features @ centres.T).max(1)
        near = (1 - cosine) / 2 <= self.distance
        enough = one_hot(labels[near], k).sum(0) >= self.fewest
        self.clusters.copy_(labels.masked_fill(~(near & enough[labels]), UNLABELLED))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = contrastive_discrepancy(
            source.features,
            target.features,
            y_source=source.y,
            y_target=self.clusters[target.row],
            classes=len(self.task.classes),
            bandwidths=bandwidths(
                source.features, target.features, policy="mean", factors=self.factors
            ),
        )
        return {"contrast": self.ramped(value)}


def _class_centres(
    features: Float[Tensor, "rows d"], labels: Tensor, classes: int
) -> Float[Tensor, "k d"]:
    """Mean direction of each class; none where it has no sample."""
    return normalize(one_hot(labels, classes).to(features).T @ features)
