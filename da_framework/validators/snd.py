"""Soft neighbourhood density of the target."""

from collections.abc import Mapping

import torch
from torch.nn.functional import normalize

from da_framework.core.batch import Outputs, every_kth, row_blocks
from da_framework.core.types import Positive
from da_framework.losses.entropy import row_entropy


def snd(outputs: Mapping[str, Outputs], *, temperature: Positive) -> float:
    r"""Soft neighbourhood density: how evenly a target sample's similarity is spread, in nats.

    .. math::
        \frac1m \sum_i H(s_i), \qquad
        s_{ij} = \frac{e^{\cos(p_i, p_j) / T}}{\sum_{l \ne i} e^{\cos(p_i, p_l) / T}}

    Large where samples have many equally near neighbours; in [0, log(m - 1)]. Fooled by a model
    that puts all samples in one class, which scores best.
    Departure: of more than 16384 samples every k-th, since each is compared with each.
    Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft
    Neighborhood Density", ICCV 2021. https://arxiv.org/abs/2108.10860

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
        temperature: T; .05 is the paper's.
    """
    p = normalize(every_kth(outputs["target"].logits).softmax(1))
    entropies = []
    for rows in row_blocks(len(p), len(p)):
        similarity = p[rows] @ p.T / temperature
        # without the sample itself
        others = torch.ones_like(similarity, dtype=torch.bool)
        others[:, rows].fill_diagonal_(False)
        kept = similarity[others].reshape(len(similarity), len(p) - 1)
        entropies.append(row_entropy(kept))
    return torch.cat(entropies).mean().item()
