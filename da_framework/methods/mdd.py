"""Adversarial training against a second classifier, by the margin disparity discrepancy."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Finite, NonNegative, Positive
from da_framework.losses.margin_disparity import margin_disparity
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import reverse_gradient
from da_framework.networks.network import Network


class MDD(Method):
    r"""Margin disparity discrepancy: an adversarial head tries to differ on the target alone.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \lambda_p D_\gamma, \qquad \max_{c'} \; D_\gamma, \qquad
        D_\gamma = \overline{\log \left( 1 - p'_{\hat y(T)}(T) \right)}
        + \gamma \, \overline{\log p'_{\hat y(S)}(S)}

    On such features no classifier agrees with ours on the source and not on the target.
    p' are the predictions of the adversarial head c', :math:`\hat y` the decisions of c. Gradient
    reversal between features and c' makes one backward pass of it.

    Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019.
    https://arxiv.org/abs/1904.05801

    Args:
        network: encoder and head; the adversarial head is made like it.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms; 1 is the paper's, with which small networks
            at our rates diverge: what the encoder makes large has no bound.
        coefficient: λ of the gradient reversal, as a function of progress; the authors' goes up
            to .1.
        margin: γ, the exponential of the margin; 4 is the paper's.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        coefficient: Schedule | Finite,
        margin: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.adversary = network.another_head()
        self.weight = weight
        self.coefficient = as_schedule(coefficient)
        self.margin = margin

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = both_features(source, target)
        adversarial = self.adversary(reverse_gradient(features, self.coefficient(self.progress)))
        n = len(source.features)
        value = margin_disparity(
            adversarial[:n],
            adversarial[n:],
            source_logits=source.logits,
            target_logits=target.logits,
            margin=self.margin,
        )
        return {"disparity": Term(value, self.weight)}
