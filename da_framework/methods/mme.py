"""Minimax entropy on the target, with a few of its labels."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.entropy import entropy
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import reverse_gradient
from da_framework.networks.cosine_head import CosineHead
from da_framework.networks.network import Network


class MME(Method):
    r"""Minimax entropy: the head raises the target's entropy, the encoder lowers it.

    .. math:: \min_{c} \; L_y - w H(T), \qquad \min_{f} \; L_y + w H(T)

    The head's class directions move to where the target is; the encoder gathers it there.
    H is the mean entropy of the target's predictions, :math:`L_y` the joint loss of the source and
    a few labelled target samples, the head a :class:`CosineHead`: what it makes large by turning
    its weights towards the target, the encoder makes small.

    Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019.
    https://arxiv.org/abs/1904.06487

    Args:
        network: encoder and head, the head of which is replaced.
        task: classes, domains and samples.
        weight: w; .1 is the paper's.
        temperature: of the head; .05 is the paper's.
    """

    roles: ClassVar = ("source", "target", "target_labelled")
    optional: ClassVar = ()
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight, its head is another than the network's"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        temperature: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        head = CosineHead(network.feature_dim, network.classes, temperature=temperature)
        network.head = head  # type: ignore[assignment]
        super().__init__(network, task, **base)
        self.weight = weight

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        logits = self.network.head(reverse_gradient(target.features, 1.0))
        # the head climbs; behind the reversal the encoder descends
        return {"entropy": Term(entropy(logits), -self.weight)}
