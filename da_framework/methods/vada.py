"""Domain-adversarial training that keeps boundaries away from the data."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.batch import Outputs, Task, Term
from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.entropy import entropy
from da_framework.losses.virtual_adversarial import virtual_adversarial
from da_framework.methods.base import Base, Method
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.network import Network
from da_framework.networks.statistics import still_statistics
from da_framework.ranges import Count, NonNegative, Positive


class VADA(Method):
    r"""The domains aligned, the target predicted with certainty, and alike around every row.

    .. math::
        L_y + w \left( \lambda_d \, \max_d (-L_d) + \lambda_s L_v(S)
        + \lambda_t \left( L_v(T) + H(T) \right) \right)

    :math:`L_d` is a discriminator's loss on the features, H the mean entropy of the predictions,
    :math:`L_v` the virtual adversarial loss: how much they change in the worst direction.

    Shu et al., "A DIRT-T Approach to Unsupervised Domain Adaptation", ICLR 2018.
    https://arxiv.org/abs/1802.08735
    Without the second stage, DIRT-T. Departures: gradient reversal instead of alternating moves;
    the passes that look around a row leave the running statistics of batch norm alone.

    Args:
        network: encoder and head.
        task: classes, domains and rows.
        hidden: widths of the discriminator's hidden layers.
        weight: w, of all terms together.
        domain: λ of the domain loss; .01 is the paper's, for deep networks by Adam.
        smooth_source: λ of the source's smoothness; 1 is the paper's, 0 for some tasks.
        certain_target: λ of the target's smoothness and entropy; .01 is the paper's.
        radius: of the virtual adversarial step, in units of the inputs; 3.5 is the paper's.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        domain: NonNegative,
        smooth_source: NonNegative,
        certain_target: NonNegative,
        radius: Positive,
        **base: Unpack[Base],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.domain = domain
        self.smooth_source = smooth_source
        self.certain_target = certain_target
        self.radius = radius

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = torch.cat([source.features, target.features])
        told = self.discriminator(reverse_gradient(features, 1.0))
        values = {
            "domain": (domain_adversarial(told, n=len(source.x)), self.domain),
            "smooth_source": (self.smoothness(source), self.smooth_source),
            "smooth_target": (self.smoothness(target), self.certain_target),
            "entropy": (entropy(target.logits), self.certain_target),
        }
        return {name: Term(value, self.weight * own) for name, (value, own) in values.items()}

    def smoothness(self, rows: Outputs) -> Tensor:
        """The virtual adversarial loss of these rows."""
        with still_statistics(self.network):
            return virtual_adversarial(
                lambda x: self.network(x, rows.domain)[1],
                rows.x,
                rows.logits,
                noise=self.normal(*rows.x.shape, like=rows.x),
                radius=self.radius,
                step=1e-3 if rows.x.dtype == torch.float64 else 1e-2,
                iterations=1,
            )
