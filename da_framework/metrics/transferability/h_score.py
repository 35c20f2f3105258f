"""H-score: how much of the features' spread lies between the classes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.metrics.transferability.indicators import indicators


def h_score(features: Float[Tensor, "n d"], *, y: Int[Tensor, " n"], shrinkage: bool) -> float:
    r"""Spread between the classes in units of the whole spread.

    .. math::
        \mathrm{tr} \left( \mathrm{cov}(f)^{+} \, \mathrm{cov}(\mathbb{E}[f \mid y]) \right)

    In [0, min(k - 1, d)]; 0 where the classes have one mean, k - 1 where all rows of a class are
    one point. Unchanged by a rotation, a shift or a scale of the features; without shrinkage by
    any invertible linear map.

    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning",
    ICIP 2019. https://arxiv.org/abs/2212.10082
    A covariance without inverse, as fewer samples than features have it, is dealt with in either of
    two ways. Without shrinkage :math:`{}^{+}` is the pseudo-inverse, under which n <= d samples in
    general position score k - 1 whatever their labels. With it cov(f) is that of Ledoit, Wolf,
    :math:`(1 - a) \, \mathrm{cov}(f) + a \, \overline{\mathrm{var}}(f) \, I`, and the covariance
    of the means is multiplied by 1 - a: Ibrahim, Ponomareva, Mazumder, "Newer is not always
    better: Rethinking transferability metrics, their peculiarities, stability and performance",
    ECML PKDD 2022. https://arxiv.org/abs/2110.06893

    Args:
        features: of the network that is judged.
        y: labels of the target task.
        shrinkage: whether the covariance is shrunk.

    Raises:
        InputError: labels are hidden or all equal.
    """
    from sklearn.covariance import ledoit_wolf

    indicator, x = indicators(y), features.double()
    x = x - x.mean(0)
    means = indicator @ (indicator.T @ x / indicator.sum(0).unsqueeze(1))
    total, between = x.T @ x / len(x), means.T @ means / len(x)
    if shrinkage:
        shrunk, amount = ledoit_wolf(x.cpu().numpy(), assume_centered=True)
        total, between = torch.as_tensor(shrunk).to(total), (1 - float(amount)) * between
    return float((torch.linalg.pinv(total, hermitian=True) @ between).trace())
