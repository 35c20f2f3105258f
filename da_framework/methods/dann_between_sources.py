"""Domain-adversarial training between sources."""

from typing import Unpack

from torch import Tensor

from da_framework.core.batch import Outputs, Task
from da_framework.core.schedules import Schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_cross_entropy
from da_framework.methods.adversarial_generalization import AdversarialGeneralization
from da_framework.methods.base import MethodKeys
from da_framework.networks.network import Network


class DANNBetweenSources(AdversarialGeneralization):
    r"""Domain-adversarial training between sources: none can be told from the others.

    .. math::
        \min_{f,\, c} \; \max_{d} \; L_y(c \circ f) - w \lambda_p L_d(d \circ f)

    with the cross-entropy :math:`L_d` of a discriminator of one class a source; between it and the
    features the gradient is multiplied by :math:`-\lambda_p`.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, with several sources
    and no target, as in Gulrajani, Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021.
    https://arxiv.org/abs/2007.01434
    Departures from DomainBed: one step for both players, neither steps of the discriminator's own
    nor a penalty on its gradient. Where sources differ in their classes' shares, features that
    cannot be told apart must lose what tells the classes apart: ``cdann_between_sources``.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
    """

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
            *(network, task),
            width=network.feature_dim,
            hidden=hidden,
            weight=weight,
            coefficient=coefficient,
            **base,
        )

    def domain_loss(self, features: Tensor, source: Outputs) -> Tensor:
        return domain_cross_entropy(self.discriminator(features), source.domain)
