"""Partial adaptation: source classes that the target has not are weighed down."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.base import Base, Method
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.network import Network


class PADA(Method):
    r"""Domain-adversarial training in which a source row counts as much as its class is met.

    .. math::
        \min_{f,\, c} \; \max_{d} \; \overline{\gamma_{y} L_y(c \circ f)}
        - w \lambda_p L_d, \qquad
        L_d = \tfrac12 \left( \overline{\gamma_{y} \ell_S} + \overline{\ell_T} \right), \qquad
        \gamma = \frac{\overline{p(T)}}{\max_k \overline{p_k(T)}}

    γ is made anew before every epoch from the predictions on all of the target.

    Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018.
    https://arxiv.org/abs/1808.04205
    Departure: the domain loss is the mean of the two domains' losses, where the paper has their
    sum: w = 2 is the paper's.

    Args:
        network: encoder and head.
        task: classes, domains and rows.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
    """

    refreshes: ClassVar = ("target",)
    setting: ClassVar = "partial"
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight, classes that are not met teach less"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        **base: Unpack[Base],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.coefficient = as_schedule(coefficient)
        self.register_buffer("met", torch.ones(len(task.classes)))

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        mean = outputs["target"].logits.softmax(1).mean(0)
        self.get_buffer("met").copy_(mean / mean.max())

    def classification(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source = outputs["source"]
        losses = cross_entropy(
            source.logits, source.y, reduction="none", label_smoothing=self.label_smoothing
        )
        weight = super().classification(outputs)["source"].weight
        weighted = Term((self.weights(source.y) * losses).mean(), weight)
        return {**super().classification(outputs), "source": weighted}

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = torch.cat([source.features, target.features])
        logits = self.discriminator(reverse_gradient(features, self.coefficient(self.progress)))
        weights = torch.cat([self.weights(source.y), torch.ones_like(target.logits[:, 0])])
        value = domain_adversarial(logits, n=len(source.x), weights=weights)
        return {"domain": Term(value, self.weight)}

    def weights(self, y: Tensor) -> Tensor:
        """γ of each row's class."""
        return self.get_buffer("met")[y]
