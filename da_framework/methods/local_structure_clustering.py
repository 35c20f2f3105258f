"""Clusters of neighbours, as in G-SFDA."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.losses.information import negative_entropy_of_mean
from da_framework.methods.neighborhood import NeighborhoodKeys, NeighborhoodMethod
from da_framework.networks.network import Network


class LocalStructureClustering(NeighborhoodMethod):
    r"""Local structure clustering (LSC) of G-SFDA: a sample has the class of its neighbours.

    .. math::
        \min_{f,\, c} \; - \frac1n \sum_i \sum_{j \in N_K(i)} \log \left( p_i^\top \bar p_j \right)
        - w H(\overline{p})

    :math:`\bar p` is what is kept of the K nearest samples, without gradient.

    Yang et al., "Generalized Source-free Domain Adaptation", ICCV 2021, eq. 3.
    https://arxiv.org/abs/2108.01614
    Without the paper's second part, the sparse domain attention, by which the source is not
    forgotten: the target alone is what this is for. Pitfalls. The authors' own tables differ by how
    the source was split, and they say that such methods are sensitive to how the source was trained
    (their tracker, issue 4). The last term asks for equally frequent classes in every batch: where
    the target's differ, a smaller w, and w = 0 lets all samples fall into one class. The logarithm
    makes a neighbour that surely has another class count without bound: it is floored. Departure:
    what is kept of the samples is also made anew as a whole in every refresh.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        neighbors: K.
        weight: w of the mean prediction's entropy; 1 is the paper's.
    """

    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight of the entropy, neighbours are learnt from"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        **keys: Unpack[NeighborhoodKeys],
    ) -> None:
        super().__init__(network, task, **keys)
        self.weight = weight

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        self.keep(target)
        p = target.logits.softmax(1)
        near = self.agreement(p, self.nearest(target.row, self.neighbors))
        floor = torch.finfo(near.dtype).tiny
        return {
            "neighbors": Term(-near.clamp_min(floor).log().sum(1).mean()),
            "diversity": Term(negative_entropy_of_mean(target.logits), self.weight),
        }
