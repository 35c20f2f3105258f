"""An encoder of the target's own, made to look like the source's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.modules.dropout import _DropoutNd

from da_framework.core.batch import Batch, Objective, Outputs, Task, Term
from da_framework.core.types import Count, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator
from da_framework.networks.frozen import Frozen
from da_framework.networks.network import Network


class ADDA(Method):
    r"""Adversarial discriminative domain adaptation: the target's encoder imitates the source's.

    .. math::
        \min_{d} \; -\frac w2 \left( \overline{\log \sigma(d(f_s(S)))}
        + \overline{\log (1 - \sigma(d(f_t(T))))} \right), \qquad
        \min_{f_t} \; -w \, \overline{\log \sigma(d(f_t(T)))}

    Both encoders begin as the one that was trained on the source; :math:`f_s` and the head are
    frozen. A step is a move of the discriminator, then one of the target's encoder, whose labels
    are inverted. No labels are learnt from: the network's own encoder is :math:`f_t`. Evaluated
    are target samples by :math:`f_t` and source samples by :math:`f_s`, both under the same head.

    Tzeng et al., "Adversarial Discriminative Domain Adaptation", CVPR 2017.
    https://arxiv.org/abs/1702.05464
    Departures: the discriminator's loss is the mean of the two domains', half the paper's sum; a
    weight, because at the rate and momentum that labels are learnt with the two players swing
    instead of settling; the head is frozen, as in the paper, where the authors' code trains the
    target's last layer as well. Dropout is off: the source's encoder, being frozen, has none, and
    by its zeros alone a discriminator would tell the target's features.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        hidden: widths of the discriminator's hidden layers; 500, 500 are the paper's for digits.
        reads: what the discriminator tells apart: ``features``, or ``logits``, the frozen head of
            them, as in the authors' code for digits.
        weight: w of both players' losses: under SGD, a factor on the learning rate.
    """

    optional: ClassVar = ()
    aligns: ClassVar = True
    needs_init_from: ClassVar = True
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "it learns from no labels: at 0 nothing moves"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        reads: Literal["features", "logits"] = "features",
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.trained = Frozen(network)
        self.network.head.requires_grad_(False)
        self.reads = reads
        width = network.feature_dim if reads == "features" else network.classes
        self.discriminator = Discriminator(width, hidden)
        self.weight = weight

    def train(self, mode: bool = True) -> "ADDA":
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, _DropoutNd):
                module.train(False)  # as in the frozen encoder that it is to look like
        return self

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, logits = self.network(x, domain)
        if domain is None:
            return features, logits
        is_source = (domain < self.task.sources)[:, None]
        source_features, source_logits = self.trained(x, domain)
        return (
            torch.where(is_source, source_features, features),
            torch.where(is_source, source_logits, logits),
        )

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"encoder": [self.network.encoder], "discriminator": [self.discriminator]}

    def outputs(self, batch: Batch) -> Mapping[str, Outputs]:
        source = batch["source"]
        passed = self.trained(source.x, source.domain)
        outputs = Outputs(*map(self.gather, (*source, *passed)))
        return {"source": outputs, **super().outputs({"target": batch["target"]})}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        outputs = self.outputs(batch)
        source, target = (getattr(outputs[side], self.reads) for side in ("source", "target"))
        logits = self.discriminator(torch.cat([source, target.detach()]))
        discriminated = Term(domain_adversarial(logits, n=len(source)), self.weight)
        yield Objective({"discriminator": discriminated}, updates=("discriminator",))
        # the encoder has not moved since: what it gives is as before
        inverted = Term(softplus(-self.discriminator(target)).mean(), self.weight)
        yield Objective({"domain": inverted, **self.extras(outputs)}, updates=("encoder",))
