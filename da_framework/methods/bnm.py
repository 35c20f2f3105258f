"""Batch nuclear-norm maximisation on the target."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.losses.nuclear_norm import negative_nuclear_norm
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class BNM(Method):
    r"""Batch nuclear-norm maximization: target predictions that are certain and diverse at once.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) - \frac{w}{m} \lVert P \rVert_*, \qquad
        P = \operatorname{softmax}(c \circ f(T))

    The nuclear norm is never below the Frobenius norm, which is large where predictions are
    certain; and it stands for the rank, which is large where they are diverse: among matrices with
    no singular value above 1 it is the rank's convex envelope.

    Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label
    Insufficient Situations", CVPR 2020. https://arxiv.org/abs/2003.12237

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the nuclear norm among the terms.
    """

    def __init__(
        self, network: Network, task: Task, *, weight: NonNegative, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"nuclear_norm": Term(negative_nuclear_norm(target.logits), self.weight)}
