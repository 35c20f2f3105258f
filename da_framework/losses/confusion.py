"""How much the classes are mistaken for each other, judged by the predictions alone."""

from jaxtyping import Float
from torch import Tensor

from da_framework.losses.entropy import row_entropy


def class_confusion(logits: Float[Tensor, "rows k"], *, temperature: float) -> Float[Tensor, ""]:
    r"""Class confusion: share of a class's predictions on other classes, averaged over classes.

    .. math::
        \frac1k \sum_j \sum_{j' \ne j} \tilde C_{jj'}, \qquad
        \tilde C_{jj'} = \frac{C_{jj'}}{\sum_l C_{jl}}, \quad
        C = P^\top W P, \quad P = \operatorname{softmax}(Z / T), \quad
        W_{ii} \propto 1 + e^{-H(p_i)}

    In [0, 1 - 1/k]: 0 where every prediction is certain and no class is left out. Certain samples
    weigh up to twice as much as uncertain ones; no gradient goes through W.

    Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020.
    https://arxiv.org/abs/1912.03699

    Predictions sum to 1, so a row of C sums to :math:`\sum_i W_{ii} p_{ij}`: the diagonal of the
    quotient is all there is to compute, and the scale of W cancels.

    Args:
        logits: of samples whose labels are not known.
        temperature: T, above 0; more than 1 softens predictions that are too sure.
    """
    log_p = (logits / temperature).log_softmax(1)
    weights = 1 + (-row_entropy(log_p)).exp()
    log_w = weights.detach().log()[:, None]
    # in logarithms: a class that no sample is put in would be 0 / 0
    return 1 - ((log_w + 2 * log_p).logsumexp(0) - (log_w + log_p).logsumexp(0)).exp().mean()
