"""The worst source counts most."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Batch, Objective, Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.losses.invariance import group_weights
from da_framework.methods.base import MethodKeys
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class GroupDRO(Generalization):
    r"""Group distributionally robust optimisation: sources of a larger risk weigh ever more.

    .. math::
        \min_{f,\, c} \; \sum_e q_e R_e, \qquad q_e \propto q_e \, e^{\eta R_e}

    The weights q begin equal and grow with each step's risks, so that the source of the worst risk
    is what is trained on in the end.

    Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts",
    ICLR 2020, algorithm 1, with the sources as groups. https://arxiv.org/abs/1911.08731
    The paper's point is that it needs strong regularisation: where every training sample is learnt
    by heart, no source has a risk left that could count. A source of noisy labels keeps its risk
    and takes all the weight. A source without a sample in the batch keeps its weight but for the
    scale.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        step_size: η; .01 is the paper's.
    """

    compares_sources: ClassVar = True
    weights: Tensor

    def __init__(
        self, network: Network, task: Task, *, step_size: NonNegative, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.step_size = step_size
        self.register_buffer("weights", torch.full((task.sources,), 1 / task.sources))

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        outputs = self.outputs(batch)
        present, risks = torch.unique(outputs["source"].domain), self.risks(outputs["source"])
        seen = risks.new_zeros(len(self.weights)).index_copy(0, present, risks.detach())
        weights = group_weights(self.weights.to(seen), seen, step_size=self.step_size)
        robust = Term((weights[present] * risks).sum())
        yield Objective({"source": robust, **self.extras(outputs)})
        self.weights.copy_(weights)

    def all_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        raise NotImplementedError  # the weights belong to a step
