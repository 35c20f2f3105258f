"""Open-set adaptation: target samples are aligned with a class, or become the unknown."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Share
from da_framework.losses.open_set import unknown_boundary
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import reverse_gradient
from da_framework.networks.network import Network


class OSBP(Method):
    r"""Open-set domain adaptation by backpropagation: target samples join a class or the unknown.

    .. math::
        \min_{c} \; L_y + w L_t, \qquad \min_{f} \; L_y - w L_t, \qquad
        L_t = -\overline{t \log p_u(T) + (1 - t) \log (1 - p_u(T))}

    The head puts target samples on the border of the unknown; the encoder pushes them off it.
    :math:`p_u` is the probability of one more class, the unknown, which is the last logit. Either
    side of the border is a way off it: a sample looks more like a known class, or less.

    Saito et al., "Open Set Domain Adaptation by Backpropagation", ECCV 2018.
    https://arxiv.org/abs/1804.10427

    Args:
        network: encoder and head, the head with one more logit than there are classes.
        task: classes, domains and samples.
        weight: w; 1 is the paper's, at a learning rate of .001: the border's loss has no upper
            bound, and at the rates of our optimizers the encoder runs away with it.
        boundary: t; .5 is the paper's.
    """

    setting: ClassVar = "open"

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        boundary: Share,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.boundary = boundary

    @classmethod
    def head_classes(cls, classes: int) -> int:
        return classes + 1

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        logits = self.network.head(reverse_gradient(target.features, 1.0))
        value = unknown_boundary(logits, boundary=self.boundary)
        return {"boundary": Term(value, self.weight)}
