"""What methods have in common that penalise what differs between sources."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


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
