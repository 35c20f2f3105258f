"""Training without the features that say most."""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Share
from da_framework.methods.base import MethodKeys, evaluating
from da_framework.methods.generalization import Generalization
from da_framework.networks.network import Network


class RSC(Generalization):
    r"""Representation self-challenging: the features that say most are muted, others must learn.

    .. math::
        \min_{f,\, c} \; L_y(c(m \circ f)), \qquad m_{ij} = 0 \; \text{where} \;
        \frac{\partial c_{y_i}(f_i)}{\partial f_{ij}} \; \text{is among the largest of a sample}

    Muted are a share of the features of each sample, and of the samples those whose label's
    probability falls most by it; the others are learnt as they are.

    Huang, Wang, Xing, Huang, "Self-Challenging Improves Cross-Domain Generalization", ECCV 2020,
    eq. 1-3. https://arxiv.org/abs/2007.02454
    Departures: features are one vector, where the paper mutes places or channels of a map in turn;
    dropout is off in what decides. It needs no names of domains, and so takes a single source as
    well. Results reported with a test set for choosing do not hold with held-out source: there it
    equals training on the sources alone (DomainBed's table).

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        drop_features: share of the features muted in a sample, rounded down; 1/3 is the paper's.
        drop_samples: share of the samples they are muted in, rounded down; 1/3 is the paper's.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        drop_features: Share,
        drop_samples: Share,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.drop_features = drop_features
        self.drop_samples = drop_samples

    def all_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source = outputs["source"]
        kept = self.kept(source.features.detach(), source.y).to(source.features)
        muted = source._replace(logits=self.network.head(source.features * kept))
        return {**self.classification({"source": muted}), **self.extras(outputs)}

    def kept(self, features: Tensor, y: Tensor) -> Tensor:
        """Which features of which samples stay."""
        head, rows = self.network.head, torch.arange(len(y), device=y.device)
        with evaluating(head), torch.enable_grad():
            watched = features.clone().requires_grad_()
            logits = head(watched)
            (slopes,) = torch.autograd.grad(logits[rows, y].sum(), watched)
            largest = slopes.topk(int(self.drop_features * features.shape[1]), dim=1).indices
            kept = torch.ones_like(features, dtype=torch.bool).scatter(1, largest, False)
            muted = head(features * kept).softmax(1)
        fall = (logits.softmax(1) - muted)[rows, y].detach()
        hurt = fall.topk(int(self.drop_samples * len(y))).indices
        kept[~torch.isin(rows, hurt)] = True
        return kept
