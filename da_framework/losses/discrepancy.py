"""How much two classifiers disagree on the same samples."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


def l1_discrepancy(first: Float[Tensor, "m k"], second: Float[Tensor, "m k"]) -> Float[Tensor, ""]:
    r"""Classifier discrepancy: mean absolute difference of the probabilities, in [0, 2 / k].

    .. math:: d(p, q) = \frac{1}{mk} \sum_i \sum_k \lvert p_{ik} - q_{ik} \rvert

    Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018.
    https://arxiv.org/abs/1712.02560

    Args:
        first, second: logits of two classifiers for the same samples.
    """
    return (first.softmax(1) - second.softmax(1)).abs().mean()


def sliced_wasserstein_discrepancy(
    first: Float[Tensor, "m k"],
    second: Float[Tensor, "m k"],
    *,
    directions: Float[Tensor, "k slices"],
) -> Float[Tensor, ""]:
    r"""Sliced Wasserstein discrepancy: squared 2-Wasserstein distance, averaged over lines.

    .. math::
        \frac{1}{S} \sum_s W_2^2(P \theta_s,\, Q \theta_s)
        = \frac{1}{Sm} \sum_s \sum_i \left( (P \theta_s)_{(i)} - (Q \theta_s)_{(i)} \right)^2

    On a line the best transport goes from the i-th smallest to the i-th smallest. So what is
    compared are the two clouds of predictions, not the two predictions of a sample.

    Lee et al., "Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation", CVPR 2019.
    https://arxiv.org/abs/1903.04064
    Mean over lines and samples, which a sum would tie to the size of the batch.

    Args:
        first, second: logits of two classifiers for the same samples.
        directions: θ of the lines, a column each, of any length.
    """
    p, q, lines = first.softmax(1), second.softmax(1), normalize(directions, dim=0)
    # never in half precision: near agreement the difference would be all rounding
    with torch.autocast(first.device.type, enabled=False):
        return ((p @ lines).sort(0).values - (q @ lines).sort(0).values).square().mean()
