"""LEEP: the source model's own classes, read as the target's."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.metrics.transferability.indicators import indicators


def leep(probabilities: Float[Tensor, "n z"], *, y: Int[Tensor, " n"]) -> float:
    r"""Mean log-likelihood of the labels, predicted by way of the source model's classes, in nats.

    .. math::
        \frac1n \sum_i \log \sum_z \hat P(y_i \mid z) \, \theta(x_i)_z, \qquad
        \hat P(y, z) = \frac1n \sum_{i : y_i = y} \theta(x_i)_z

    In [-H(Y), 0], so never below -log k; -H(Y) where the predictions are the same for all rows. Of
    a source model that is certain of every row it is the negative conditional entropy.

    Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations",
    ICML 2020. https://arxiv.org/abs/2002.12462

    Args:
        probabilities: θ(x), of the source model's classes; rows sum to 1.
        y: labels of the target task.

    Raises:
        InputError: labels are hidden or all equal.
    """
    indicator, theta = indicators(y), probabilities.double()
    joint = indicator.T @ theta
    # a source class without any probability predicts nothing, and is not asked
    conditional = joint / joint.sum(0).clamp_min(torch.finfo(joint.dtype).tiny)
    return float((indicator @ conditional * theta).sum(1).log().mean())
