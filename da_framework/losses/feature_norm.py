"""How far the features' norms are from what they are to be."""

import torch
from jaxtyping import Float
from torch import Tensor


def stepwise_norm(features: Float[Tensor, "rows d"], *, step: float) -> Float[Tensor, ""]:
    r"""Stepwise adaptive feature norm: squared distance of a norm from itself and a little more.

    .. math::
        \frac1n \sum_i \big( \lVert f_i \rVert - (\lVert f_i \rVert_0 + \Delta r) \big)^2

    No gradient goes through :math:`\lVert f_i \rVert_0`, the norm as it is now. So the value is
    always :math:`\Delta r^2`, and what is learnt from stands in the gradient: every norm is to
    grow, at the same rate.

    Xu, Li, Yang, Lin, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for
    Unsupervised Domain Adaptation", ICCV 2019. https://arxiv.org/abs/1811.07456

    Args:
        features: of one domain.
        step: Δr, in units of the features.
    """
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)
    return (norms - (norms.detach() + step)).square().mean()


def hard_norm(features: Float[Tensor, "rows d"], *, radius: float) -> Float[Tensor, ""]:
    r"""Hard adaptive feature norm: squared distance of the mean norm from a radius.

    .. math:: \left( \frac1n \sum_i \lVert f_i \rVert - R \right)^2

    Xu, Li, Yang, Lin, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for
    Unsupervised Domain Adaptation", ICCV 2019. https://arxiv.org/abs/1811.07456

    Args:
        features: of one domain.
        radius: R, in units of the features.
    """
    mean: Tensor = torch.linalg.vector_norm(features, dim=1).mean()
    return (mean - radius).square()
