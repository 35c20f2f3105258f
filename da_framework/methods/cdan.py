"""Domain-adversarial training conditioned on the predictions."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.entropy import row_entropy
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.conditional import conditional_map
from da_framework.networks.network import Network


class CDAN(Method):
    r"""Conditional adversarial domain adaptation: the discriminator sees features and predictions.

    .. math::
        \min_{f,\, c} \; \max_{d} \; L_y(c \circ f)
        - w \lambda_p L_d(d \circ (f \otimes p)), \qquad p = \operatorname{softmax}(c \circ f)

    So features go with their predictions alike in both domains, class by class.
    With entropy conditioning (CDAN+E) a sample weighs :math:`1 + e^{-H(p)}` in the domain loss,
    scaled to mean 1 in its domain.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018.
    https://arxiv.org/abs/1705.10667
    As in the authors' code, no gradient goes through p. Departures: none through the entropy
    weights either, where that code reverses one; the domain loss is the mean of the two
    domains' losses, where the paper has their sum.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
        limit: width of f times classes above which their product is randomised; 4096 is the
            paper's.
        entropy_conditioning: whether sure samples weigh more.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        limit: Count,
        entropy_conditioning: bool,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.join = conditional_map(network.feature_dim, network.classes, limit=limit)
        self.discriminator = Discriminator(self.join.width, hidden)
        self.weight = weight
        self.coefficient = as_schedule(coefficient)
        self.entropy_conditioning = entropy_conditioning

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = both_features(source, target)
        logits = torch.cat([source.logits, target.logits]).detach()
        turned = reverse_gradient(features, self.coefficient(self.progress))
        discriminated = self.discriminator(self.join(turned, logits.softmax(1)))
        n = len(source.features)
        weights = self.certainty(logits, n) if self.entropy_conditioning else None
        return {
            "domain": Term(domain_adversarial(discriminated, n=n, weights=weights), self.weight)
        }

    def certainty(self, logits: Tensor, n: int) -> Tensor:
        """The weight of each sample, of mean 1 in its domain."""
        w = 1 + (-row_entropy(logits)).exp()
        return torch.cat([w[:n] / w[:n].mean(), w[n:] / w[n:].mean()])
