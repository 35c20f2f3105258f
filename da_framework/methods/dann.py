"""Domain-adversarial training by gradient reversal."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.network import Network


class DANN(Method):
    r"""Domain-adversarial training: features from which a discriminator cannot tell the domain.

    .. math::
        \min_{f,\, c} \; \max_{d} \; L_y(c \circ f) - w \lambda_p L_d(d \circ f), \qquad
        \lambda_p = \frac{2}{1 + e^{-\gamma p}} - 1

    One backward pass finds the saddle point: between features and discriminator the gradient
    is multiplied by :math:`-\lambda_p`; the discriminator itself learns at full rate.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, eq. 9-10 and 17-18.
    https://arxiv.org/abs/1505.07818
    Departure: the domain loss is the mean of the two domains' losses, where the paper's eq. 9 has
    their sum; w = 2 is the paper's. Common code has the mean, and so have our defaults.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
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
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.coefficient = as_schedule(coefficient)

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"domain": Term(self.domain_loss(source, target), self.weight)}

    def domain_loss(
        self, source: Outputs, target: Outputs, weights: Tensor | None = None
    ) -> Tensor:
        """What the discriminator minimises, and behind gradient reversal the encoder maximises."""
        features = both_features(source, target)
        # one pass over both domains: batch norm a pass a domain would erase the shift
        logits = self.discriminator(reverse_gradient(features, self.coefficient(self.progress)))
        return domain_adversarial(logits, n=len(source.features), weights=weights)
