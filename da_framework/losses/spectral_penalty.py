"""How much of the features is in a few directions."""

import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.types import Count


def spectral_penalty(features: Float[Tensor, "rows d"], *, largest: Count) -> Float[Tensor, ""]:
    r"""Spectral penalty: sum of the squares of the largest singular values of a batch of features.

    .. math:: \sum_{i=1}^{k} \sigma_i^2

    Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial
    Domain Adaptation", ICML 2019. https://proceedings.mlr.press/v97/chen19i.html

    Args:
        features: of one domain.
        largest: k; 1 is the paper's.
    """
    # there is no singular value decomposition in half precision
    features = features if features.dtype == torch.float64 else features.float()
    values: Tensor = torch.linalg.svdvals(features)
    return values[:largest].square().sum()
