"""Meta-learning for a source that is held out in every step."""

from collections.abc import Iterator
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torch.func import functional_call

from da_framework.core.batch import Batch, Objective, Outputs, Samples, Task, Term
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class MLDG(Generalization):
    r"""Meta-learning domain generalisation: a step on some sources must help the one held out.

    .. math::
        \min_{\theta} \; F(\theta) + w \, G(\theta - \alpha \nabla F(\theta))

    F is the risk on all sources but one, G that on the one, which is drawn anew in every step. The
    gradient goes through the inner step as well (``second_order``), or takes it for a constant.

    Li, Yang, Song, Hospedales, "Learning to Generalize: Meta-Learning for Domain Generalization",
    AAAI 2018, algorithm 1 with one source held out. https://arxiv.org/abs/1710.03463
    A step costs two passes, and with the second order a gradient of a gradient. Batch norm's
    statistics are of the held-out source alone in G. Of two sources each is learnt from alone.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the held-out source's risk; 1 is the paper's.
        inner_rate: α, the step's learning rate.
        second_order: whether the gradient goes through the inner step.
    """

    compares_sources: ClassVar = True
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight, a step learns from all sources but one"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        inner_rate: NonNegative,
        second_order: bool,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.inner_rate = inner_rate
        self.second_order = second_order

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        source = Samples(*map(self.gather, batch["source"]))
        trained, tested = self.split(source)
        outputs = Outputs(*trained, *self.network(trained.x, trained.domain))
        risk = self.label_loss(outputs, "source")
        moved = Outputs(*tested, *self.moved(risk, tested))
        terms = {
            "source": Term(risk),
            "held_out": Term(self.label_loss(moved, "source"), self.weight),
        }
        yield Objective({**terms, **self.extras({"source": outputs})})

    def split(self, source: Samples) -> tuple[Samples, Samples]:
        """The samples of all sources but one, and of the one; a lone source is both."""
        present = torch.unique(source.domain)
        if len(present) == 1:
            return source, source
        drawn = int(torch.randint(len(present), (1,), generator=self.generator))
        held_out = source.domain == present[drawn]
        return source.at(~held_out), source.at(held_out)

    def moved(self, risk: Tensor, samples: Samples) -> tuple[Tensor, Tensor]:
        """Features and logits of the network after the inner step."""
        weights = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        slopes = torch.autograd.grad(
            *(risk, list(weights.values())),
            retain_graph=True,
            create_graph=self.second_order,
            allow_unused=True,
        )
        stepped = {
            name: p if slope is None else p - self.inner_rate * slope
            for (name, p), slope in zip(weights.items(), slopes, strict=True)
        }
        features, logits = functional_call(self.network, stepped, (samples.x, samples.domain))
        return features, logits
