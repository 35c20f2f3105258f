"""The Wasserstein distance, as a critic that is not too steep sees it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def critic_gap(source: Float[Tensor, " n"], target: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    r"""Wasserstein critic's gap: how much higher it scores the source than the target.

    .. math:: \overline{c(S)} - \overline{c(T)}

    The largest over all critics of slope at most 1 is the Wasserstein-1 distance. Arjovsky,
    Chintala, Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017, eq. 2.
    https://arxiv.org/abs/1701.07875

    Args:
        source, target: the critic's scores.
    """
    return source.mean() - target.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], points: Float[Tensor, "rows d"]
) -> Float[Tensor, ""]:
    r"""Gradient penalty: mean squared distance of the critic's slope from 1 at these points.

    .. math:: \frac1n \sum_i \left( \lVert \nabla c(x_i) \rVert - 1 \right)^2

    Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, eq. 3.
    https://arxiv.org/abs/1704.00028

    Args:
        critic: a score for each sample.
        points: where its slope is looked at; no gradient goes to them.
    """
    points = points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(slope, dim=1)
    return (norms - 1).square().mean()
