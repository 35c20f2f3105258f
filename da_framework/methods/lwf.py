"""Learning without forgetting."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term, as_input
from da_framework.core.types import Fraction, NonNegative, Positive
from da_framework.losses.distillation import distillation
from da_framework.methods.base import MethodKeys
from da_framework.methods.fine_tuning import FineTuning
from da_framework.networks.frozen import Frozen
from da_framework.networks.network import Network


class LwF(FineTuning):
    r"""Learning without forgetting: fine-tuning whose former head still predicts as it did before.

    .. math:: L_y + w \, T^2 L \big( p_T(c_S^0 \circ f^0), \; p_T(c_S \circ f) \big)

    at temperature T, :math:`c_S^0 \circ f^0` being the former network as it was.

    Li, Hoiem, "Learning without Forgetting", ECCV 2016. https://arxiv.org/abs/1606.09282
    Departures: the factor T², which keeps the size of the gradient when T changes; all parts learn
    from the first step on, where the paper warms the new head up (``gradual`` comes near it).

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w; the paper's loss, at λ = 1, does not have the factor T², so that 1 / T² is its
            weight: .25 at T = 2. The default, 1, weighs the former head four times as much.
        temperature: T; 2 is the paper's.
        gradual: as of ``FineTuning``.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        temperature: Positive,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.former_head = network.former_head().requires_grad_(True)
        self.before = Frozen(network.encoder)
        self.head_before = Frozen(self.former_head)
        self.weight = weight
        self.temperature = temperature

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        labelled = outputs["target_labelled"]
        x = as_input(labelled.x).to(next(self.before.parameters(), labelled.features))
        before = (self.head_before(self.before(x)) / self.temperature).softmax(1)
        value = distillation(
            self.former_head(labelled.features), probabilities=before, temperature=self.temperature
        )
        return {"former": Term(value, self.weight)}
