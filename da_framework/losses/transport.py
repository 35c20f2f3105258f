"""Optimal transport between two batches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.losses.mmd import pairwise_squared_distances


def optimal_coupling(
    cost: Float[Tensor, "n m"], *, column_mass: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "n m"]:
    r"""Optimal transport of n equal masses onto m others, exact and without gradient.

    .. math::
        \arg\min_\gamma \sum_{ij} \gamma_{ij} c_{ij} \quad \text{so that} \quad
        \gamma \ge 0, \; \sum_j \gamma_{ij} = \tfrac1n, \; \sum_i \gamma_{ij} = b_j

    By the network simplex of POT, on the CPU: the device is waited for.

    Flamary et al., "POT: Python Optimal Transport", JMLR 2021.
    https://jmlr.org/papers/v22/20-451.html

    Args:
        cost: c of each pair.
        column_mass: b, of sum 1; ``None``: equal ones, :math:`1/m`.
    """
    import ot

    n, m = cost.shape
    given = cost.detach().double().cpu().numpy()
    mass = ot.unif(m) if column_mass is None else column_mass.double().cpu().numpy()
    return torch.from_numpy(ot.emd(ot.unif(n), mass, given, numItermax=10_000_000)).to(cost)


def joint_cost(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    y: Int[Tensor, " n"],
    logits: Float[Tensor, "m k"],
    feature_weight: float,
    label_weight: float,
) -> Float[Tensor, "n m"]:
    r"""What it costs to take a target sample for a source sample: its features and its label.

    .. math:: c_{ij} = \alpha \lVert f_i - f_j \rVert^2 - \lambda \log p_j(y_i)

    Damodaran, Kellenberger, Flamary, Tuia, Courty, "DeepJDOT: Deep Joint Distribution Optimal
    Transport for Unsupervised Domain Adaptation", ECCV 2018. https://arxiv.org/abs/1803.10081

    Args:
        source, target: features of the two batches.
        y: labels of the source.
        logits: of the target.
        feature_weight: α.
        label_weight: λ.
    """
    distances = pairwise_squared_distances(torch.cat([source, target]))[
        : len(source), len(source) :
    ]
    return feature_weight * distances - label_weight * logits.log_softmax(1)[:, y].T
