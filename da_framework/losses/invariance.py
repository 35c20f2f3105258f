"""What differs between domains that a network should treat alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot


def domain_means(
    values: Float[Tensor, "n ..."], domain: Int[Tensor, " n"]
) -> Float[Tensor, "e ..."]:
    """Mean of the values of each domain that has a sample, in the order of their numbers.

    Args:
        values: of each sample.
        domain: the number of each sample's domain; numbers may be left out.
    """
    _, index, count = torch.unique(domain, return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(count), *values.shape[1:]).index_add(0, index, values)
    means: Tensor = sums / count.view(-1, *[1] * (values.dim() - 1))
    return means


def irm_penalty(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], domain: Int[Tensor, " n"]
) -> Float[Tensor, ""]:
    r"""IRMv1: how much each domain would gain by another scale of the logits, squared.

    .. math::
        \frac1E \sum_e \left( \frac{\partial R_e(s z)}{\partial s} \Big|_{s = 1} \right)^2
        = \frac1E \sum_e \left( \overline{\sum_k (p_{ik} - [y_i = k]) \, z_{ik}} \right)^2

    with the risk R, the mean cross-entropy. 0 where one scale is the best for all domains. For two
    classes it is the formula of the logistic loss, with the difference of the two logits. The
    square of a mean over a small batch is biased upwards by the variance of that mean.

    Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019, eq. IRMv1.
    https://arxiv.org/abs/1907.02893

    Args:
        logits: of each sample.
        y: labels.
        domain: the number of each sample's domain.
    """
    slopes = ((logits.softmax(1) - one_hot(y, logits.shape[1])) * logits).sum(1)
    return domain_means(slopes, domain).square().mean()


def risk_variance(risks: Float[Tensor, " e"]) -> Float[Tensor, ""]:
    r"""V-REx: variance of the domains' risks; 0 where all are equal.

    .. math:: \frac1E \sum_e (R_e - \bar R)^2

    Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation (REx)", ICML 2021,
    eq. 8. https://arxiv.org/abs/2003.00688

    Args:
        risks: the mean loss of each domain.
    """
    return (risks - risks.mean()).square().mean()


def gradient_variances(
    features: Float[Tensor, "n d"],
    logits: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    domain: Int[Tensor, " n"],
) -> Float[Tensor, "e k*d+k"]:
    r"""Variance of the samples' gradients in the weights of a linear head, of each domain.

    .. math::
        \overline{g^2} - \bar g^2, \qquad
        g_i = (p_i - \mathbb 1_{y_i}) \otimes (f_i, 1)

    g is the gradient of a sample's cross-entropy in weights and bias. Its square is the product of
    squares, so that no gradient of a single sample is kept.

    Args:
        features: what the linear head reads.
        logits: what it makes of them.
        y: labels.
        domain: the number of each sample's domain.
    """
    residuals = logits.softmax(1) - one_hot(y, logits.shape[1])
    inputs = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    variances = []
    for number in torch.unique(domain):
        rows = domain == number
        r, f = residuals[rows], inputs[rows]
        variances.append((r.square().T @ f.square() / len(r) - (r.T @ f / len(r)).square()).ravel())
    return torch.stack(variances)


def fishr(variances: Float[Tensor, "e p"]) -> Float[Tensor, ""]:
    r"""Fishr: squared distance of each domain's gradient variance from their mean.

    .. math:: \frac1E \sum_e \lVert v_e - \bar v \rVert^2

    Rame, Dancette, Cord, "Fishr: Invariant Gradient Variances for Out-of-Distribution
    Generalization", ICML 2022, eq. 4. https://arxiv.org/abs/2109.02934

    Args:
        variances: of the gradients of each domain's samples.
    """
    return (variances - variances.mean(0)).square().sum(1).mean()


def group_weights(
    weights: Float[Tensor, " e"], risks: Float[Tensor, " e"], *, step_size: float
) -> Float[Tensor, " e"]:
    r"""GroupDRO: the groups' weights after one more look at their risks.

    .. math:: q_e \leftarrow \frac{q_e \, e^{\eta R_e}}{\sum_{e'} q_{e'} \, e^{\eta R_{e'}}}

    After several looks from equal weights they are the softmax of η times the sum of the risks.

    Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts",
    ICLR 2020, algorithm 1. https://arxiv.org/abs/1911.08731

    Args:
        weights: q; they sum to 1.
        risks: R, the mean loss of each group.
        step_size: η.
    """
    # as logarithms: a product with the exponential of a large risk would be infinite
    return (weights.log() + step_size * risks).softmax(0)
