"""Training on mixtures of two samples."""

from collections.abc import Iterator
from typing import ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor

from da_framework.core.batch import Batch, Objective, Outputs, Samples, Task, Term, send
from da_framework.core.types import Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class Mixup(Generalization):
    r"""Mixup: between two samples, of whichever sources, the prediction is between their labels.

    .. math::
        \min_{f,\, c} \; \lambda L(\tilde x, y) + (1 - \lambda) L(\tilde x, y'), \qquad
        \tilde x = \lambda x + (1 - \lambda) x', \quad \lambda \sim \mathrm{Beta}(a, a)

    Each sample of the batch is mixed with one other, drawn anew in every step; λ is one for all.

    Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    https://arxiv.org/abs/1710.09412
    Between domains: Gulrajani, Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021,
    which mixes pairs of whole sources; here partners are drawn from the batch, so that some are of
    the same source. Where sources differ in their columns all are. Batch norm sees mixtures while
    it trains and samples when it is evaluated. Probabilities are less sure than they should be.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        concentration: a of the Beta distribution; small: mostly one of the two, 1: uniform.
    """

    needs_raw_inputs: ClassVar = True
    perturbs_inputs: ClassVar = True

    def __init__(
        self, network: Network, task: Task, *, concentration: Positive, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.concentration = concentration

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        source = Samples(*map(self.gather, batch["source"]))
        share = draw_share(self.concentration, self.generator)
        other = draw_partners(source.domain, self.generator, apart=bool(self.task.widths))
        x = share * source.x + (1 - share) * source.x[other]
        outputs = Outputs(x, *source[1:], *self.network(x, source.domain))
        first = self.label_loss(outputs, "source")
        second = self.label_loss(outputs._replace(y=source.y[other]), "source")
        mixed = Term(share * first + (1 - share) * second)
        yield Objective({"source": mixed, **self.extras({"source": outputs})})


def draw_share(concentration: float, generator: torch.Generator) -> float:
    """A number of the distribution Beta(a, a).

    Args:
        concentration: a.
        generator: of random numbers.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(concentration, concentration))


def draw_partners(domain: Tensor, generator: torch.Generator, *, apart: bool) -> Tensor:
    """What each sample is mixed with: every sample once.

    Args:
        domain: the number of each sample's domain.
        generator: of random numbers.
        apart: whether each is mixed with one of its own domain.
    """
    order = send(torch.randperm(len(domain), generator=generator), domain.device)
    if apart:
        order = order[domain[order].argsort(stable=True)]
        return order[domain.argsort(stable=True).argsort()]
    return order
