"""Weights under which all classes count alike."""

from jaxtyping import Float, Int
from torch import Tensor


def balanced_class_weights(counts: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""Weights by class that are inverse to its number of samples, of mean 1 over the samples.

    .. math:: w_c = \frac{n}{k \, n_c}

    where k counts the classes that have a sample; the others have the weight 0, which no sample
    meets. King, Zeng, "Logistic Regression in Rare Events Data", Political Analysis 2001, section
    4.2. https://doi.org/10.1093/oxfordjournals.pan.a004868

    Args:
        counts: training samples of each class.
    """
    sampled = counts > 0
    weights = counts.sum() / (sampled.sum() * counts.clamp_min(1))
    return weights * sampled
