"""Fine-tuning of the former head along with the new one."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Fraction, NonNegative
from da_framework.losses.distillation import distillation
from da_framework.methods.base import MethodKeys
from da_framework.methods.fine_tuning import FineTuning
from da_framework.networks.network import Network


class CoTuning(FineTuning):
    r"""Co-tuning: fine-tuning that also teaches the former head how its classes relate to the new.

    .. math:: L_y + \lambda \, L\big( p(y_S \mid y_T), \; c_S \circ f \big)

    :math:`p(y_S \mid y_T)` is the mean prediction of the former network on the labelled samples of
    a class, before the first step. The former head :math:`c_S` learns as well, and is not
    evaluated.

    You, Kou, Long, Wang, "Co-Tuning for Transfer Learning", NeurIPS 2020, algorithm 1, the direct
    way. https://papers.nips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html
    Departure: the former predictions are not calibrated first.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: λ; 2.3 is what the paper's library uses.
        gradual: as of ``FineTuning``.
    """

    refreshes: ClassVar = ("target_labelled",)
    exempt_from: ClassVar = {
        "refreshes_anew": "the relation is that of the former network, before the first step"
    }

    relation: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.former_head = network.former_head().requires_grad_(True)
        self.weight = weight
        former_classes = len([*self.former_head.parameters()][-1])
        self.register_buffer(
            "relation", torch.full((len(task.classes), former_classes), 1 / former_classes)
        )

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        if self.progress:  # by the former network, which is gone after the first step
            return
        labelled = outputs["target_labelled"]
        head = self.former_head
        with torch.no_grad():
            p = head(labelled.features.to(next(head.parameters()))).softmax(1)
        for label in torch.unique(labelled.y).tolist():
            self.relation[label] = p[labelled.y == label].mean(0)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        labelled = outputs["target_labelled"]
        value = distillation(
            self.former_head(labelled.features),
            probabilities=self.relation[labelled.y],
            temperature=1.0,
        )
        return {"relation": Term(value, self.weight)}
