"""Methods for a target that is never seen: they learn from several sources alone."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.invariance import domain_means
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import DomainClassifier, reverse_gradient
from da_framework.networks.network import Network


class Generalization(Method):
    """A method of domain generalisation: the target is tested, and never seen.

    Sources have equal shares of a batch, so that the mean over its samples is the mean of the
    sources' risks. One pass over all of them gives the risk of each.
    """

    roles: ClassVar[tuple[str, ...]] = ("source",)
    optional: ClassVar[tuple[str, ...]] = ()
    generalizes: ClassVar[bool] = True

    def risks(self, source: Outputs) -> Float[Tensor, " e"]:
        """The classification loss of each source that has a sample in the batch."""
        return domain_means(self.label_losses(source, "source"), source.domain)


class PenaltyKeys(MethodKeys):
    """The keys of every method that adds a penalty on what the sources have not in common.

    Attributes:
        weight: w of the penalty; a number, or a function of progress.
        l2: of the squared norm of all weights, within what a large w divides.
    """

    weight: Schedule | NonNegative
    l2: NonNegative


class PenalizedGeneralization(Generalization):
    r"""A penalty on what differs between sources, beside their mean risk.

    .. math::
        \min_{\theta} \; \frac{1}{\max(1, w)} \left( L_y + w \, P + l \lVert \theta \rVert^2 \right)

    Where w > 1 all is divided by it, as in the code of the IRM paper: a penalty that begins late,
    and then weighs thousands of times as much, would else come with steps as much larger.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the penalty; a number, or a function of progress.
        l2: of the squared norm of all weights, within what a large w divides; an optimizer's
            ``weight_decay`` of twice as much is the same, but not divided.
    """

    compares_sources: ClassVar[bool] = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: Schedule | NonNegative,
        l2: NonNegative = 0.0,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = as_schedule(weight)
        self.l2 = l2

    def penalty(self, source: Outputs) -> Float[Tensor, ""]:
        """P of a batch."""
        raise NotImplementedError

    def all_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        weight = self.weight(self.progress)
        terms = {
            **self.classification(outputs),
            "penalty": Term(self.penalty(outputs["source"]), weight),
            **({"l2": Term(self.squared_norm(), self.l2)} if self.l2 else {}),
            **self.extras(outputs),
        }
        return {
            name: term._replace(weight=term.weight / max(1.0, weight))
            for name, term in terms.items()
        }

    def squared_norm(self) -> Float[Tensor, ""]:
        """Of all weights that are trained."""
        weights = [p for p in self.network.parameters() if p.requires_grad]
        return torch.stack([p.square().sum() for p in weights]).sum()


class BetweenSources(Generalization):
    r"""What aligns source and target, on every two sources in their place.

    .. math:: \frac{1}{\lvert P \rvert} \sum_{(a, b) \in P} \ell(a, b)

    Of two sources it is the method itself; a batch of a single source is paired with itself.
    """

    compares_sources: ClassVar[bool] = True
    aligns: ClassVar[bool] = False

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        parts = split_by_domain(outputs["source"])
        pairs = list(combinations(parts, 2)) or [(parts[0], parts[0])]
        terms = [self.terms(first, second) for first, second in pairs]
        return {
            name: Term(torch.stack([own[name].value for own in terms]).mean(), term.weight)
            for name, term in terms[0].items()
        }

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        return iter(())  # what is said of source and target is not of sources


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


def split_by_domain(outputs: Outputs) -> list[Outputs]:
    """The samples of each domain that there is."""
    return [
        Outputs(*(field[outputs.domain == number] for field in outputs))
        for number in torch.unique(outputs.domain)
    ]
