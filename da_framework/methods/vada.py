"""Domains that look alike, and boundaries where no samples of either are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from da_framework.core.batch import Batch, Objective, Outputs, Task, Term
from da_framework.core.types import Count, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.entropy import entropy
from da_framework.losses.virtual_adversarial import virtual_adversarial
from da_framework.methods.base import Method, MethodKeys, evaluating
from da_framework.networks.adversary import Discriminator
from da_framework.networks.network import Network


class VADA(Method):
    r"""Virtual adversarial domain adaptation: confused domains, and boundaries far from samples.

    .. math::
        \min_{f,\, c} \; L_y + w \left( \lambda_d L_d + \lambda_s L_v(S)
        + \lambda_t \left[ L_v(T) + L_c(T) \right] \right)

    with the virtual adversarial loss :math:`L_v` on both domains, the entropy :math:`L_c` of the
    target's predictions, and :math:`L_d` the cross-entropy of a discriminator for inverted
    labels. The discriminator has a move of its own before it.

    Shu et al., "A DIRT-T Approach to Unsupervised Domain Adaptation", ICLR 2018: its first stage;
    the second, DIRT-T, is not part of it. https://arxiv.org/abs/1802.08735
    Departures: ε in units of the root of the number of inputs, so that it fits any; neither
    instance normalisation nor averaged weights. The passes of :math:`L_v` are made in evaluation
    mode, so that nothing but the perturbation comes between two predictions of a sample, and batch
    norm's statistics are of samples that are there.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers.
        weight: w of all that is added.
        domain: λ_d; 0.01 in the authors' code.
        source: λ_s; 1 there.
        target: λ_t; 0.01 there.
        radius: ε per root of the number of inputs; 3.5 for images of 32 x 32 x 3 is .063.
    """

    aligns: ClassVar = True
    needs_raw_inputs: ClassVar = True
    perturbs_inputs: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        domain: NonNegative,
        source: NonNegative,
        target: NonNegative,
        radius: NonNegative,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.domain = domain
        self.source = source
        self.target = target
        self.radius = radius * math.sqrt(math.prod(task.shape))

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"model": [self.network], "discriminator": [self.discriminator]}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        outputs = self.outputs(batch)
        source, target = outputs["source"].features, outputs["target"].features
        discriminated = domain_adversarial(
            self.discriminate(source.detach(), target.detach()), n=len(source)
        )
        yield Objective({"discriminator": Term(discriminated)}, updates=("discriminator",))
        # the network has not moved since: its outputs are those of before
        yield Objective(self.all_terms(outputs))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        discriminated = self.discriminate(source.features, target.features)
        # minus the logits: source and target change places
        confused = domain_adversarial(-discriminated, n=len(source.features))
        return {
            "domain": Term(confused, self.weight * self.domain),
            "virtual_source": Term(self.virtual(source), self.weight * self.source),
            "virtual_target": Term(self.virtual(target), self.weight * self.target),
            "entropy": Term(entropy(target.logits), self.weight * self.target),
        }

    def discriminate(self, source: Tensor, target: Tensor) -> Tensor:
        """The discriminator's logits, of the source's samples first."""
        logits: Tensor = self.discriminator(torch.cat([source, target]))
        return logits

    def virtual(self, outputs: Outputs) -> Tensor:
        """The virtual adversarial loss of a role."""
        x = outputs.x.to(next(self.network.parameters()).dtype)
        with evaluating(self.network):
            return virtual_adversarial(
                lambda inputs: self.network(inputs, outputs.domain)[1],
                x,
                noise=self.normal(*x.shape, like=x),
                radius=self.reach(outputs.domain),
            )

    def reach(self, domain: Int[Tensor, " rows"]) -> float | Float[Tensor, "rows 1"]:
        """ε; by sample where the domains' columns differ: padding is no length."""
        if not self.task.widths:
            return self.radius
        widths = torch.tensor(self.task.widths, device=domain.device)
        return self.radius * (widths[domain, None] / self.task.shape[0]).sqrt()
