"""The weakest directions of a batch of features."""

import torch
from jaxtyping import Float
from torch import Tensor


def spectral_shrinkage(features: Float[Tensor, "n d"], *, smallest: int) -> Float[Tensor, ""]:
    r"""Spectral shrinkage: sum of the squares of the smallest singular values of the features.

    .. math:: \sum_{i=1}^{k} \sigma_{-i}^2(F)

    Chen, Wang, Fu, Long, Wang, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral
    Shrinkage for Safe Transfer Learning", NeurIPS 2019, eq. 4.
    https://papers.nips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html

    Args:
        features: of a batch; a singular value for each row or column, whichever are fewer.
        smallest: k; as many as there are, at most.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = features if features.dtype == torch.float64 else features.float()
        values: Tensor = torch.linalg.svdvals(z)
        return values[-smallest:].square().sum()
