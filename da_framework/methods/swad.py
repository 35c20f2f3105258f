"""Weights averaged over a flat valley of the held-out loss."""

from collections.abc import Mapping
from typing import Unpack

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from da_framework.core.batch import Objective, Outputs, Task, as_input
from da_framework.core.types import Count, Positive
from da_framework.methods.base import MethodKeys, evaluating
from da_framework.methods.generalization import Generalization
from da_framework.networks.frozen import RunningMean
from da_framework.networks.network import Network, rows_per_pass


class SWAD(Generalization):
    r"""Stochastic weight averaging, densely (SWAD): the mean of the weights over a flat valley.

    .. math::
        \bar\theta = \frac{1}{t_e - t_s} \sum_{t = t_s + 1}^{t_e} \theta_t

    Every step counts from t_s, when the held-out loss of the sources has not fallen for some
    evaluations, up to t_e, when it is above its mean of those by a ratio. What is trained is the
    network alone; what is evaluated is its mean, and before t_s the network itself.

    Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", NeurIPS 2021, algorithm 1.
    https://arxiv.org/abs/2102.08604
    Departures: the mean begins when the valley is seen and ends when it is left, where the paper
    goes back over the evaluations by which it was seen; statistics of batch norm are averaged as
    the weights are. It must be evaluated often (``evaluate_every``): a run whose loss still falls
    at its end has averaged nothing. Its validator is given the mean.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        patience: evaluations in a row without a lower loss at which the mean begins; 3 is the
            paper's.
        tolerance: ratio of the loss to its mean over these at which it ends; the paper has 1.2 and
            1.3.
    """

    recent: Tensor
    seen: Tensor
    ceiling: Tensor
    ended: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        patience: Count,
        tolerance: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.mean = RunningMean(network)
        self.tolerance = tolerance
        self.register_buffer("recent", torch.zeros(patience + 1))
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("ceiling", torch.tensor(0.0))  # before the valley there is none
        self.register_buffer("ended", torch.tensor(False))

    @property
    def predictor(self) -> Network:
        network: Network = self.mean.module if self.mean.count else self.network
        return network

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, logits = (self.mean if self.mean.count else self.network)(x, domain)
        return features, logits

    @property
    def averaging(self) -> bool:
        """Whether this step counts."""
        return bool(self.ceiling > 0) and not self.ended

    def updated(self, objective: Objective) -> None:
        if self.averaging:
            self.mean.add(self.network)

    def evaluated(self, outputs: Mapping[str, Outputs]) -> None:
        if "source" not in outputs or self.ended:
            return
        loss = self.held_out_loss(outputs["source"])
        if self.averaging:
            self.ended.fill_(bool(loss > self.ceiling))
            return
        self.recent.copy_(torch.cat([self.recent[1:], loss.to(self.recent)[None]]))
        self.seen += 1
        if self.seen >= len(self.recent) and (self.recent >= self.recent[0]).all():
            self.ceiling.copy_(self.tolerance * self.recent.mean())

    @torch.no_grad()
    def held_out_loss(self, source: Outputs) -> Float[Tensor, ""]:
        """The loss of the network itself, whatever is evaluated."""
        size = rows_per_pass(self.network, source.x.shape, 512)
        rows = [slice(i, i + size) for i in range(0, len(source.x), size)]
        with evaluating(self.network), torch.autocast(source.x.device.type, enabled=False):
            logits = [self.network(as_input(source.x[own]), source.domain[own])[1] for own in rows]
        return self.label_loss(source._replace(logits=torch.cat(logits)), "source")
