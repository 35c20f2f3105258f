"""Statistics of feature maps mixed between samples."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Unpack

import numpy as np
import torch
from torch import Tensor

from da_framework.core.batch import Batch, Objective, Outputs, Samples, Task
from da_framework.core.errors import InputError
from da_framework.core.types import Count, Positive, Share
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class Style(NamedTuple):
    """What is drawn for one layer: the shares λ, and each sample's partner."""

    shares: Tensor
    others: Tensor


class MixStyle(Generalization):
    r"""MixStyle: early feature maps have means and deviations between those of two samples.

    .. math::
        \tilde z = \gamma \frac{z - \mu(z)}{\sigma(z)} + \beta, \qquad
        \gamma = \lambda \sigma(z) + (1 - \lambda) \sigma(z'), \quad
        \beta = \lambda \mu(z) + (1 - \lambda) \mu(z'), \quad \lambda \sim \mathrm{Beta}(a, a)

    μ and σ, without gradient, are of each channel over its places: the style, but not what is seen.
    Training alone mixes, after the first layers of the backbone, each with a probability.

    Zhou, Yang, Qiao, Xiang, "Domain Generalization with MixStyle", ICLR 2021, eq. 3-6 with partners
    drawn from the whole batch. https://arxiv.org/abs/2104.02008
    After deep layers it destroys what tells classes apart (the paper, table 4). A layer whose
    output has no places, of tables, has the statistics of a sample's own numbers. It needs no names
    of domains, and so takes a single source as well.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        layers: how many of the backbone's first stages are followed by it.
        probability: of mixing after a layer in a step; .5 is the paper's.
        concentration: a of the Beta distribution; .1 is the paper's.
    """

    needs_raw_inputs: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        layers: Count,
        probability: Share,
        concentration: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        stages = network.stages()
        self.mixed = [name for name in stages if name.startswith("backbone.")][:layers]
        if not self.mixed:
            raise InputError("MixStyle mixes what a backbone's layers make, and this has none")
        self.probability = probability
        self.concentration = concentration

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        source = Samples(*map(self.gather, batch["source"]))
        with self.mixing([self.draw_style(len(source.x)) for _ in self.mixed]):
            passed = self.network(source.x, source.domain)
        yield Objective(self.all_terms({"source": Outputs(*source, *passed)}))

    def draw_style(self, rows: int) -> Style | None:
        """What one layer mixes in this step, alike on all processes; ``None``: nothing."""
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        random = np.random.default_rng(seed)
        if random.random() >= self.probability:
            return None
        shares = random.beta(self.concentration, self.concentration, size=rows)
        return Style(torch.from_numpy(shares), torch.from_numpy(random.permutation(rows)))

    @contextmanager
    def mixing(self, styles: Sequence[Style | None]) -> Iterator[None]:
        """Within it, the layers' outputs are mixed."""
        stages = self.network.stages()
        hooks = [
            stages[name].register_forward_hook(lambda *given, own=style: mix(given[-1], own))
            for name, style in zip(self.mixed, styles, strict=True)
            if style is not None
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def mix(z: Any, style: Style) -> Any:
    """Feature maps with mixed statistics; what is no tensor of one stays as it is."""
    if not isinstance(z, Tensor) or len(z) != len(style.shares):
        return z
    places = tuple(range(2, z.dim())) or (1,)
    with torch.no_grad():
        mean = z.mean(places, keepdim=True)
        deviation = (z.var(places, keepdim=True, correction=0) + 1e-6).sqrt()
        shares = style.shares.to(z).view(-1, *[1] * (z.dim() - 1))
        others = style.others.to(z.device)
        scale = shares + (1 - shares) * deviation[others] / deviation
        centre = shares * mean + (1 - shares) * mean[others]
    return (z - mean) * scale + centre
