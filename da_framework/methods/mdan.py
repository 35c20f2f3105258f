"""Domain-adversarial training with several sources."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import nn

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative, Positive
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.network import Network


class MDAN(Method):
    r"""Multisource domain adversarial network: a discriminator a source; the hardest counts most.

    .. math::
        \min_{f,\, c} \; \max_{d_1 \dots d_N} \; \frac1\gamma \log \sum_{i=1}^{N} \exp \left(
        \gamma \left( L_y^{i} - w \lambda_p L_d^{i} \right) \right)

    Its gradient is that of every source's losses weighted by
    :math:`\operatorname{softmax}_i \gamma (L_y^i - w \lambda_p L_d^i)`, which is what is computed,
    with gradient reversal between features and discriminators. With one source it is DANN.

    Zhao et al., "Adversarial Multiple Source Domain Adaptation", NeurIPS 2018, the smoothed
    objective. https://arxiv.org/abs/1705.09684
    Departures: the domain loss is the mean of the two domains' losses; the authors' code adds it
    within the soft maximum, where the paper, and we, subtract it.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminators' hidden layers.
        weight: w of the domain losses.
        coefficient: λ of the gradient reversal, as a function of progress.
        sharpness: γ; the larger, the more the hardest source alone counts.
    """

    aligns: ClassVar = True
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight, the hardest source's labels count most"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        sharpness: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminators = nn.ModuleList(
            [Discriminator(network.feature_dim, hidden) for _ in range(task.sources)]
        )
        self.weight = weight
        self.coefficient = as_schedule(coefficient)
        self.sharpness = sharpness

    def all_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source, target = outputs["source"], outputs["target"]
        coefficient = self.coefficient(self.progress)
        features = reverse_gradient(both_features(source, target), coefficient)
        costs = self.label_losses(source, "source")
        labels, domains = [], []
        for number, discriminator in enumerate(self.discriminators):
            member = (source.domain == number).to(costs)
            # a mean over the rows of this source, as factors within the mean over all
            member = member * (len(member) / member.sum().clamp_min(1))
            labels.append((member * costs).mean())
            weights = torch.cat([member, torch.ones_like(target.logits[:, 0])])
            value = domain_adversarial(discriminator(features), n=len(member), weights=weights)
            domains.append(value)
        label, domain = torch.stack(labels), torch.stack(domains)
        hard = (self.sharpness * (label - self.weight * coefficient * domain)).softmax(0).detach()
        plain = self.classification(outputs)
        return {
            **plain,
            "source": Term((hard * label).sum(), plain["source"].weight),
            "domain": Term((hard * domain).sum(), self.weight),
            **self.extras(outputs),
        }
