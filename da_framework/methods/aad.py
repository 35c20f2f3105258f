"""Neighbours attract, all others disperse."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import NonNegative
from da_framework.methods.neighborhood import NeighborhoodKeys, NeighborhoodMethod
from da_framework.networks.network import Network


class AaD(NeighborhoodMethod):
    r"""Attracting and dispersing (AaD): predictions like the neighbours', and unlike the batch's.

    .. math::
        \min_{f,\, c} \; - \frac1n \sum_i \sum_{j \in N_K(i)} p_i^\top \bar p_j
        + \frac{\lambda_p}{n} \sum_i \frac{K}{n - 1} \sum_{j \ne i} p_i^\top p_j

    :math:`\bar p` is what is kept of the K nearest samples, without gradient; the second sum is
    over the other samples of the batch.

    Yang et al., "Attracting and Dispersing: A Simple Approach for Source-free Domain Adaptation",
    NeurIPS 2022, eq. 5. https://arxiv.org/abs/2205.04183
    Departures: the second sum has the weight of as many terms as the first, K, where the authors'
    grows with the batch, and with it the step: their λ of 1 with 64 samples and K = 5 is 12.6 here.
    What is kept of the samples is also made anew as a whole in every refresh.
    Pitfalls. λ falls as :math:`(1 + 10 p)^{-\beta}`, and β differs by data set; the authors choose
    it by the score SND of checkpoints that they kept, which their code does not do itself (their
    tracker, issue 8). Where λ is too small, or has fallen too soon, all samples attract one another
    into one class; where λ and the learning rate are large, single steps do it.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        neighbors: K; 5 in the authors' code for VisDA.
        dispersion: λ; a number, or a function of progress.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        dispersion: Schedule | NonNegative,
        **keys: Unpack[NeighborhoodKeys],
    ) -> None:
        super().__init__(network, task, **keys)
        self.dispersion = as_schedule(dispersion)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        self.keep(target)
        p = target.logits.softmax(1)
        near = self.agreement(p, self.nearest(target.row, self.neighbors))
        # over all pairs but those of a sample with itself
        pairs = p.sum(0).square().sum() - p.square().sum()
        apart = self.neighbors * pairs / (len(p) * max(len(p) - 1, 1))
        return {
            "attraction": Term(-near.sum(1).mean()),
            "dispersion": Term(apart, self.dispersion(self.progress)),
        }
