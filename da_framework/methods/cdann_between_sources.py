"""Class-conditional domain-adversarial training between sources."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.batch import Outputs, Task
from da_framework.core.schedules import Schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_cross_entropy
from da_framework.methods.adversarial_generalization import AdversarialGeneralization
from da_framework.methods.base import MethodKeys
from da_framework.networks.conditional import conditional_map
from da_framework.networks.network import Network


class CDANNBetweenSources(AdversarialGeneralization):
    r"""Conditional domain-adversarial training between sources: class by class none is told apart.

    .. math::
        \min_{f,\, c} \; \max_{d} \; L_y(c \circ f) - w \lambda_p L_d(d \circ (f \otimes y))

    The discriminator sees the features of each class by weights of their own, and within a source
    every class counts alike, so that sources whose classes differ in their shares need not lose
    what tells the classes apart.

    Li et al., "Deep Domain Generalization via Conditional Invariant Adversarial Networks",
    ECCV 2018. https://openaccess.thecvf.com/content_ECCV_2018/html/Ya_Li_Deep_Domain_Generalization_ECCV_2018_paper.html
    Departures: one discriminator that is given the class, in the place of one a class and one for
    all; the label is joined by the product of CDAN, where DomainBed adds an embedding of it.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
        limit: width of f times classes above which their product is randomised.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        limit: Count,
        **base: Unpack[MethodKeys],
    ) -> None:
        join = conditional_map(network.feature_dim, network.classes, limit=limit)
        super().__init__(
            *(network, task),
            width=join.width,
            hidden=hidden,
            weight=weight,
            coefficient=coefficient,
            **base,
        )
        self.join = join

    def domain_loss(self, features: Tensor, source: Outputs) -> Tensor:
        classes = source.logits.shape[1]
        groups = source.domain * classes + source.y
        _, index, count = torch.unique(groups, return_inverse=True, return_counts=True)
        joined = self.join(features, one_hot(source.y, classes).to(features))
        logits = self.discriminator(joined)
        return domain_cross_entropy(logits, source.domain, weights=1 / count[index].to(logits))
