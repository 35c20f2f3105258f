"""A penalty on the size of the logits."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class SpectralDecoupling(Generalization):
    r"""Spectral decoupling: large logits cost, so that no feature that suffices starves the others.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w}{2n} \sum_i \lVert z_i \rVert^2

    Cross-entropy stops learning once one feature has made the logits large; a penalty on the logits
    z, not on the weights, keeps the other features' gradients alive.

    Pezeshki et al., "Gradient Starvation: A Learning Proclivity in Neural Networks", NeurIPS 2021,
    eq. 16. https://arxiv.org/abs/2011.09468
    It needs no names of domains, and so takes a single source as well. Its logits are small by
    intent: probabilities are far from sure, and not calibrated. Departure: one weight and a centre
    of 0 for all classes, where the paper's coloured digits and faces have some of each.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the penalty.
    """

    def __init__(
        self, network: Network, task: Task, *, weight: NonNegative, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        value = outputs["source"].logits.square().sum(1).mean() / 2
        return {"logits": Term(value, self.weight)}
