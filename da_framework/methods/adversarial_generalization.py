"""What methods have in common whose discriminator tells the sources apart."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.adversary import DomainClassifier, reverse_gradient
from da_framework.networks.network import Network


class AdversarialGeneralization(Generalization):
    r"""A discriminator that tells the sources apart, behind gradient reversal.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        width: of what the discriminator reads.
        hidden: widths of its hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
    """

    compares_sources: ClassVar[bool] = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        width: int,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = DomainClassifier(width, hidden, task.sources)
        self.weight = weight
        self.coefficient = as_schedule(coefficient)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source = outputs["source"]
        turned = reverse_gradient(source.features, self.coefficient(self.progress))
        return {"domain": Term(self.domain_loss(turned, source), self.weight)}

    def domain_loss(self, features: Tensor, source: Outputs) -> Tensor:
        """What the discriminator minimises, and behind gradient reversal the encoder maximises."""
        raise NotImplementedError
