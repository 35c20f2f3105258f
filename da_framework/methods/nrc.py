"""Neighbours that have one another count most."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Count, NonNegative
from da_framework.losses.information import negative_entropy_of_mean
from da_framework.methods.neighborhood import NeighborhoodKeys, NeighborhoodMethod
from da_framework.networks.network import Network


class NRC(NeighborhoodMethod):
    r"""Neighborhood reciprocity clustering (NRC): mutual neighbours have the same class.

    .. math::
        \min_{f,\, c} \; - \frac1n \sum_i \left[ \sum_{j \in N_K(i)} \left( A_{ij} \, p_i^\top
        \bar p_j + r \sum_{m \in N_M(j)} p_i^\top \bar p_m \right) + p_i^\top \bar p_i \right]
        - H(\overline{p})

    A is 1 where i is among the M nearest of its neighbour j (they are reciprocal) and r elsewhere;
    the neighbours' neighbours count r. :math:`\bar p` is what is kept, without gradient. The last
    term is the divergence of the mean prediction from equal shares, but for a constant.

    Yang et al., "Exploiting the Intrinsic Neighborhood Structure for Source-free Domain
    Adaptation", NeurIPS 2021, eq. 3-9. https://arxiv.org/abs/2110.04202
    Pitfalls. The last term asks for equally frequent classes in every batch: where the target's
    differ, or the batch is smaller than their number, it is wrong (``weight=0`` leaves it out, and
    then nothing keeps all samples from one class). All rests on the source model's features: the
    authors say of such methods that they are sensitive to how the source was trained (tracker of
    their G-SFDA, issue 4). Departure: what is kept of the samples is also made anew as a whole in
    every refresh.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        neighbors: K.
        expanded: M, of each neighbour.
        far: r, of neighbours that are not mutual; .1 is the paper's.
        weight: of the mean prediction's entropy; 1 is the paper's.
    """

    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight of the entropy, neighbours are learnt from"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        expanded: Count,
        far: NonNegative,
        weight: NonNegative,
        **keys: Unpack[NeighborhoodKeys],
    ) -> None:
        super().__init__(network, task, **keys)
        self.expanded = expanded
        self.far = far
        self.weight = weight

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        self.keep(target)
        p = target.logits.softmax(1)
        near = self.nearest(target.row, self.neighbors)
        further = self.nearest(near.flatten(), self.expanded)
        further = further.view(*near.shape, further.shape[1])  # which may be 0
        affinity = self.affinity(target.row, further).to(p)
        own = self.agreement(p, target.row[:, None])
        return {
            "neighbors": Term(-(affinity * self.agreement(p, near)).sum(1).mean()),
            "expanded": Term(-self.agreement(p, further.flatten(1)).sum(1).mean(), self.far),
            "itself": Term(-own.mean()),
            "diversity": Term(negative_entropy_of_mean(target.logits), self.weight),
        }

    def affinity(
        self, rows: Int[Tensor, " n"], further: Int[Tensor, "n k m"]
    ) -> Float[Tensor, "n k"]:
        """A: 1 where the sample is among the nearest of its neighbour, r elsewhere."""
        mutual = (further == rows[:, None, None]).any(2)
        return torch.where(mutual, 1.0, self.far)
