"""Source-free adaptation by information maximisation and centroid labels."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.shot_im import SHOTIM
from da_framework.networks.network import Network


class SHOT(SHOTIM):
    r"""Source hypothesis transfer (SHOT): information maximisation, and labels by nearest centre.

    .. math::
        \min_{f} \; w \left( \overline{H(p(T))} - H(\overline{p(T)}) \right)
        + \beta \, \overline{-\log p_{\hat y}(T)}

    Before every epoch (``refresh_every`` steps; the paper's is a pass over the target) centres are
    means of all target features, weighted first by the predictions and then by the labels that
    these centres gave; a sample's label is that of the centre in the nearest direction.

    Liang, Hu, Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for
    Unsupervised Domain Adaptation", ICML 2020, eq. 4-7. https://arxiv.org/abs/2002.08546
    As in the authors' code, features have a 1 appended before their direction is taken, and a class
    that no sample is put in gets no label.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        weight: w of the information term; 1 is the paper's.
        pseudo_weight: β of the labels' term; .3 is the paper's, .1 for digits.
    """

    refreshes: ClassVar = ("target",)
    pseudo_labels: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        pseudo_weight: NonNegative,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, weight=weight, **base)
        self.pseudo_weight = pseudo_weight
        self.register_per_sample("pseudo_labels", role="target", value=0)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        target = outputs["target"]
        ones = torch.ones_like(target.features[:, :1])
        features = normalize(torch.cat([target.features, ones], dim=1))
        share, nearest = target.logits.softmax(1), target.logits.argmax(1)
        for _ in range(2):
            cosine = features @ normalize(share.T @ features).T
            # a class that no sample is put in has no centre
            empty = ~one_hot(nearest, share.shape[1]).any(0)
            nearest = cosine.masked_fill(empty, -torch.inf).argmax(1)
            share = one_hot(nearest, share.shape[1]).to(features.dtype)
        self.pseudo_labels.copy_(nearest)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        labels = self.pseudo_labels[target.row]
        value = cross_entropy(target.logits, labels)
        return {**super().method_terms(outputs), "pseudo_label": Term(value, self.pseudo_weight)}
