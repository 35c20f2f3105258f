"""Alignment of features and labels by optimal transport."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.errors import InputError
from da_framework.core.types import NonNegative
from da_framework.losses.transport import joint_cost, optimal_coupling
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class DeepJDOT(Method):
    r"""Deep joint distribution optimal transport: pairs samples by features and labels at once.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \min_\gamma \sum_{ij} \gamma_{ij} \big( \alpha
        \lVert f(x^S_i) - f(x^T_j) \rVert^2 + \lambda L(y_i, c \circ f(x^T_j)) \big)

    Target samples come near the source samples that they are paired with, and are labelled like
    them. Every batch :math:`\gamma` is the exact coupling of its samples, each of equal mass, and
    is then held fixed while the network learns. It is solved on the CPU: every step waits for the
    device.

    Damodaran, Kellenberger, Flamary, Tuia, Courty, "DeepJDOT: Deep Joint Distribution Optimal
    Transport for Unsupervised Domain Adaptation", ECCV 2018. https://arxiv.org/abs/1803.10081
    Departure: α and λ, the paper's for other networks, are ours for small ones. They are small for
    a reason: the coupling moves all mass, so that samples of different classes must meet where a
    batch does not have the same number of each. With 64 and 64 samples of MNIST and USPS that is a
    quarter of the samples at least, with 500 still 14 %, and at λ = 1 these labels harm more than
    the others help.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the transport among the terms.
        feature_weight: α of the features' distance.
        label_weight: λ of the cross-entropy.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        feature_weight: NonNegative,
        label_weight: NonNegative,
        **base: Unpack[MethodKeys],
    ) -> None:
        if find_spec("ot") is None:
            raise InputError("DeepJDOT needs POT: pip install 'da_framework[ot]'")
        super().__init__(network, task, **base)
        self.weight = weight
        self.feature_weight = feature_weight
        self.label_weight = label_weight

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        cost = joint_cost(
            source.features,
            target.features,
            y=source.y,
            logits=target.logits,
            feature_weight=self.feature_weight,
            label_weight=self.label_weight,
        )
        value = (optimal_coupling(cost) * cost).sum()
        return {"transport": Term(value, self.weight)}
