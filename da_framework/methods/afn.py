"""Features whose norms grow."""

from collections.abc import Mapping
from typing import Literal, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.feature_norm import hard_norm, stepwise_norm
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class AFN(Method):
    r"""Adaptive feature norm: feature norms of both domains grow, stepwise or towards one radius.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \sum_{D \in \{S, T\}} \frac{1}{|D|} \sum_{x \in D}
        \big( \lVert f(x) \rVert - (\lVert f_0(x) \rVert + \Delta r) \big)^2

    :math:`f_0` is the encoder as it is before the step, without gradient. This is the paper's
    stepwise AFN; its term is always :math:`2 \Delta r^2`, and the gradient alone tells. The hard
    AFN has :math:`(\overline{\lVert f \rVert} - R)^2` of each domain instead.

    Xu, Li, Yang, Lin, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for
    Unsupervised Domain Adaptation", ICCV 2019. https://arxiv.org/abs/1811.07456
    Departures: both domains weigh the same, whatever their samples; dropout is the ordinary one,
    not the paper's that preserves the norm; our step is .03, not 1, with which the norms of a small
    network trained from scratch grow until the classification loss diverges.
    On the tasks of ``experiments/method_gains`` it harms: in a network trained from scratch it
    lengthens the target's features in the direction that they have already (on the digits from half
    the source's norm to all of it), which makes mistakes surer and rights none. The paper begins
    with networks whose features were learnt on ImageNet.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the norms among the terms.
        variant: ``stepwise`` or ``hard``.
        step: Δr of the stepwise one, in units of the features; what is learnt goes by w Δr.
        radius: R of the hard one, in units of the features.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        variant: Literal["stepwise", "hard"],
        step: Positive,
        radius: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.variant = variant
        self.step = step
        self.radius = radius

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        values = [
            stepwise_norm(side.features, step=self.step)
            if self.variant == "stepwise"
            else hard_norm(side.features, radius=self.radius)
            for side in (source, target)
        ]
        return {"norm": Term(values[0] + values[1], self.weight)}
