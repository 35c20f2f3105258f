"""Alignment by the Wasserstein distance, which a critic estimates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from da_framework.core.batch import Batch, Objective, Task, Term
from da_framework.core.types import Count, NonNegative
from da_framework.losses.wasserstein import critic_gap, gradient_penalty
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator
from da_framework.networks.network import Network


class WDGRL(Method):
    r"""Wasserstein distance guided representation learning: the encoder closes a critic's gap.

    .. math::
        \max_{d} \; W - \gamma \, \overline{\left( \lVert \nabla d \rVert - 1 \right)^2}, \qquad
        \min_{f,\, c} \; L_y(c \circ f) + w W, \qquad
        W = \overline{d(f(S))} - \overline{d(f(T))}

    The critic scores the source high and the target low; the encoder takes away its reasons.
    A step is several moves of the critic d and one of encoder and head. The critic's slope is held
    near 1 at the features of both domains and at random points between them.

    Shen et al., "Wasserstein Distance Guided Representation Learning for Domain Adaptation", AAAI
    2018, algorithm 1. https://arxiv.org/abs/1707.01217
    The critic has no batch norm: its slope is that of a single sample.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the critic's hidden layers.
        weight: w of the distance among the terms.
        critic_steps: moves of the critic in a step; 5 in the authors' code for digits.
        penalty: γ; 10 is the paper's, too steep for the critic at a rate of .05 with momentum.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        critic_steps: Count,
        penalty: NonNegative,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.critic = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.critic_steps = critic_steps
        self.penalty = penalty

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"critic": [self.critic], "model": [self.network]}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        # one pass through the network, which does not move while the critic does
        outputs = self.outputs(batch)
        source, target = outputs["source"].features, outputs["target"].features
        for _ in range(self.critic_steps):
            points = self.between(source.detach(), target.detach())
            slope = Term(gradient_penalty(self.critic, points), self.penalty)
            gap = Term(self.gap(source.detach(), target.detach()), -1.0)
            yield Objective({"critic": gap, "slope": slope}, updates=("critic",))
        distance = {"wasserstein": Term(self.gap(source, target), self.weight)}
        yield Objective(
            {**self.classification(outputs), **distance, **self.extras(outputs)}, updates=("model",)
        )

    def gap(self, source: Tensor, target: Tensor) -> Tensor:
        """W as the critic sees it."""
        return critic_gap(self.critic(source), self.critic(target))

    def between(self, source: Tensor, target: Tensor) -> Tensor:
        """Features of both domains, and a point on the line between each pair of them."""
        pairs = min(len(source), len(target))
        share = self.uniform(pairs, 1, like=source)
        inner = share * source[:pairs] + (1 - share) * target[:pairs]
        return torch.cat([source, target, inner])
