"""Partial adaptation: source classes that the target does not have weigh less."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.dann import DANN
from da_framework.networks.network import Network


class PADA(DANN):
    r"""Partial adversarial domain adaptation: source classes that the target lacks weigh less.

    .. math::
        \min_{f,\, c} \; \max_{d} \; \overline{\gamma_{y} L_y(c \circ f)}
        - w \lambda_p L_d, \qquad
        L_d = \tfrac12 \left( \overline{\gamma_{y} \ell_S} + \overline{\ell_T} \right), \qquad
        \gamma = \frac{\overline{p(T)}}{\max_k \overline{p_k(T)}}

    γ is made anew every ``refresh_every`` steps, 500 in the authors' code, from the predictions on
    all of the target.

    Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018.
    https://arxiv.org/abs/1808.04205
    Departure: the domain loss is the mean of the two domains' losses, where the paper has their
    sum: w = 2 is the paper's.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
    """

    refreshes: ClassVar = ("target",)
    setting: ClassVar = "partial"
    aligns: ClassVar = False  # of the source only the classes that the target has
    met: Tensor
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
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(
            network, task, hidden=hidden, weight=weight, coefficient=coefficient, **base
        )
        self.register_buffer("met", torch.ones(len(task.classes)))

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        mean = outputs["target"].logits.softmax(1).mean(0)
        self.met.copy_(mean / mean.max())

    def classification(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source = outputs["source"]
        losses = self.label_losses(source, "source")
        weight = super().classification(outputs)["source"].weight
        weighted = Term((self.met[source.y] * losses).mean(), weight)
        return {**super().classification(outputs), "source": weighted}

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        weights = torch.cat([self.met[source.y], torch.ones_like(target.logits[:, 0])])
        return {"domain": Term(self.domain_loss(source, target, weights), self.weight)}
