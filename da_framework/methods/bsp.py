"""Domain-adversarial training that spares what tells classes apart."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.spectral_penalty import spectral_penalty
from da_framework.methods.base import MethodKeys
from da_framework.methods.dann import DANN
from da_framework.networks.network import Network


class BSP(DANN):
    r"""Batch spectral penalization: DANN with a penalty on the features' largest singular values.

    .. math::
        \min_{f,\, c} \; \max_{d} \; L_y(c \circ f) - w \lambda_p L_d(d \circ f)
        + \beta \sum_{i=1}^{k} \left( \sigma_i^2(f(S)) + \sigma_i^2(f(T)) \right)

    Features may not lean on a few directions, which are all that DANN would keep.

    Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial
    Domain Adaptation", ICML 2019. https://proceedings.mlr.press/v97/chen19i.html

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of the domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
        penalty: β; 1e-4 is the paper's.
        largest: k; 1 is the paper's.
    """

    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever weight and coefficient, the spectral penalty is there"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        penalty: NonNegative,
        largest: Count,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(
            network, task, hidden=hidden, weight=weight, coefficient=coefficient, **base
        )
        self.penalty = penalty
        self.largest = largest

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        penalties = [spectral_penalty(s.features, largest=self.largest) for s in (source, target)]
        spectral = Term(penalties[0] + penalties[1], self.penalty)
        return {**super().terms(source, target), "spectral": spectral}
