"""How far apart two samples are in their covariances."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def coral(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    r"""CORAL: the squared distance of the covariances.

    .. math::
        \frac{1}{4 d^2} \lVert C_S - C_T \rVert_F^2, \qquad
        C = \frac{1}{n - 1} \sum_i (x_i - \bar x)(x_i - \bar x)^\top

    Blind to the means. The covariance of a single sample is 0.

    Sun, Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016
    workshops, eq. 1-3. https://arxiv.org/abs/1607.01719

    Args:
        source, target: features of the two batches.
    """
    difference = covariance(source) - covariance(target)
    return difference.square().sum() / (4 * len(difference) ** 2)


def log_coral(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, ridge: float
) -> Float[Tensor, ""]:
    r"""Log-Euclidean CORAL: the squared distance of the covariances' logarithms.

    .. math::
        \frac{1}{4 d^2} \lVert \log (C_S + \epsilon I) - \log (C_T + \epsilon I) \rVert_F^2

    With the logarithm of a matrix, that is of its eigenvalues.

    Morerio, Cavazza, Murino, "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
    Adaptation", ICLR 2018. https://arxiv.org/abs/1711.10288
    Departure: the ridge, without which fewer samples than features have no logarithm.

    Args:
        source, target: features of the two batches.
        ridge: ε, in squared units of the features; above 0.
    """
    with torch.autocast(source.device.type, enabled=False):
        logs = []
        for x in (source, target):
            c = covariance(x)
            logs.append(_Log.apply(c + ridge * torch.eye(len(c), dtype=c.dtype, device=c.device)))
        difference: Tensor = logs[0] - logs[1]
    return difference.square().sum() / (4 * len(difference) ** 2)


def covariance(x: Float[Tensor, "rows d"]) -> Float[Tensor, "d d"]:
    """Unbiased covariance; never in half precision, whatever autocast says."""
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        x = x - x.mean(0)
        return x.T @ x / max(len(x) - 1, 1)


class _Log(torch.autograd.Function):
    """Logarithm of a symmetric matrix with positive eigenvalues.

    The gradient of an eigendecomposition is infinite where eigenvalues are equal, as those of dead
    features are; that of the logarithm is not (the formula of Daletskii and Krein).
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        # positive in exact arithmetic; rounding must not make a logarithm of something negative
        values = values.clamp_min(torch.finfo(values.dtype).eps * values[-1])
        ctx.save_for_backward(values, vectors)
        logarithm: Tensor = vectors * values.log() @ vectors.T
        return logarithm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        # (log a - log b) / (a - b), and 1 / b where they are equal
        excess = (values[:, None] - values) / values
        slope = torch.where(excess == 0, 1.0, excess.log1p() / excess) / values
        turned = slope * (vectors.T @ gradients[0] @ vectors)
        back: Tensor = vectors @ turned @ vectors.T
        return back
