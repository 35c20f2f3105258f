"""How certain and how diverse a batch of predictions is, by the singular values of its matrix."""

import torch
from jaxtyping import Float
from torch import Tensor


def negative_nuclear_norm(logits: Float[Tensor, "rows k"]) -> Float[Tensor, ""]:
    r"""Minus the nuclear norm of the matrix of predictions, divided by the number of its rows.

    .. math::
        -\frac1n \lVert P \rVert_* = -\frac1n \sum_i \sigma_i(P), \qquad
        P = \operatorname{softmax}(Z)

    The nuclear norm is the sum of the singular values. The loss is in
    :math:`[-\sqrt{\min(n, k) / n},\, -1 / \sqrt{n k}]`: least where every prediction is certain and
    all classes are predicted equally often, greatest where all are undecided.

    Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label
    Insufficient Situations", CVPR 2020. https://arxiv.org/abs/2003.12237

    Args:
        logits: of samples whose labels are not known.
    """
    p = logits.softmax(1)
    # there is no singular value decomposition in half precision
    p = p if p.dtype == torch.float64 else p.float()
    singular: Tensor = torch.linalg.svdvals(p)
    return -singular.sum() / len(p)
