"""Fine-tuning that lets go of the weakest directions."""

from collections.abc import Mapping
from typing import Unpack

import torch

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Count, Fraction, NonNegative
from da_framework.losses.spectral_shrinkage import spectral_shrinkage
from da_framework.methods.base import MethodKeys
from da_framework.methods.fine_tuning import FineTuning
from da_framework.networks.network import Network


class BSS(FineTuning):
    r"""Batch spectral shrinkage: fine-tuning that penalises the smallest singular values.

    .. math:: L_y + \eta \sum_{i=1}^{k} \sigma_{-i}^2(F)

    Directions in which features hardly vary are those that transfer least.

    Chen, Wang, Fu, Long, Wang, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral
    Shrinkage for Safe Transfer Learning", NeurIPS 2019.
    https://papers.nips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: η; .001 is the paper's.
        smallest: k; 1 is the paper's.
        gradual: as of ``FineTuning``.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        smallest: Count,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.weight = weight
        self.smallest = smallest

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        labelled = outputs["target_labelled"]
        # each sample once: a sample seen twice in a batch would make a singular value 0
        order = labelled.row.argsort(stable=True)
        sorted_rows = labelled.row[order]
        first_seen = order[torch.cat([sorted_rows.new_ones(1), sorted_rows.diff()]).bool()]
        value = spectral_shrinkage(labelled.features[first_seen], smallest=self.smallest)
        return {"shrinkage": Term(value, self.weight)}
