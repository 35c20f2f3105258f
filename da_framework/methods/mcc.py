"""Minimum class confusion on the target."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.confusion import class_confusion
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class MCC(Method):
    r"""Minimum class confusion: target predictions that do not mistake one class for another.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w}{k} \sum_j \sum_{j' \ne j} \tilde C_{jj'}, \qquad
        C = P^\top W P, \quad P = \operatorname{softmax}(c \circ f(T) / \tau)

    :math:`\tilde C` has the rows of C divided by their sums; W gives certain rows more weight.

    Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020.
    https://arxiv.org/abs/1912.03699

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the confusion among the terms.
        temperature: τ of the predictions; above 1 it softens those that are too sure.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        temperature: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.temperature = temperature

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = class_confusion(target.logits, temperature=self.temperature)
        return {"confusion": Term(value, self.weight)}
