"""Fine-tuning that does not go far from where it began."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Fraction, NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.fine_tuning import FineTuning
from da_framework.networks.frozen import Frozen
from da_framework.networks.network import Network


class L2SP(FineTuning):
    r"""L2-SP: fine-tuning with a penalty on the squared distance from the starting point.

    .. math:: \Omega(w) = \frac{\alpha}{2} \lVert w_S - w_S^0 \rVert^2
        + \frac{\beta}{2} \lVert w_{\bar S} \rVert^2

    S are the weights that ``init_from`` gave, the others (a fresh head) are drawn to 0.

    Li, Grandvalet, Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018. https://arxiv.org/abs/1802.01483

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: α.
        new_weight: β.
        gradual: as of ``FineTuning``.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        new_weight: NonNegative,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.start = Frozen(network)
        self.weight = weight
        self.new_weight = new_weight

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        start = dict(self.start.module.named_parameters())
        now = {n: p for n, p in self.network.named_parameters() if p.requires_grad}
        old = [now[name] - start[name] for name in now if name in self.network.loaded]
        new = [weight for name, weight in now.items() if name not in self.network.loaded]
        terms = {"start": Term(half_square(old), self.weight)} if old else {}
        return terms | ({"new": Term(half_square(new), self.new_weight)} if new else {})


def half_square(tensors: Sequence[Tensor]) -> Tensor:
    """Half the sum of squares of all numbers in them."""
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum() / 2
