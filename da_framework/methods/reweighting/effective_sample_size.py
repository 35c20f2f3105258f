"""How many equal samples weighted samples are worth."""

from jaxtyping import Float
from torch import Tensor


def effective_sample_size(weights: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    r"""Samples of weight one whose mean is as sure as the weighted mean; in [1, n].

    .. math:: \frac{\left( \sum_i w_i \right)^2}{\sum_i w_i^2}

    0 where all weights are. Kish, "Survey Sampling", 1965, section 8.2.
    """
    w = weights / weights.max().clamp_min(1e-30)
    return w.sum().square() / w.square().sum().clamp_min(1e-30)
