"""How much predictions change in the direction in which they change most."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from da_framework.ranges import Count, Positive


def virtual_adversarial(
    predict: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows ..."],
    logits: Float[Tensor, "rows k"],
    *,
    noise: Float[Tensor, "rows ..."],
    radius: Positive,
    step: Positive,
    iterations: Count,
) -> Float[Tensor, ""]:
    r"""Divergence from the predictions at x of those a small step away, in the worst direction.

    .. math::
        \frac1n \sum_i \mathrm{KL} \left( p(x_i) \,\Vert\, p(x_i + r_i) \right), \qquad
        r_i = \arg\max_{\lVert r \rVert \le \epsilon}
        \mathrm{KL} \left( p(x_i) \,\Vert\, p(x_i + r) \right)

    The direction is found by power iteration from noise; no gradient goes through it, nor through
    p(x).

    Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and
    Semi-Supervised Learning", IEEE TPAMI 2019. https://arxiv.org/abs/1704.03976

    Args:
        predict: logits for inputs.
        x: inputs.
        logits: what is predicted at x.
        noise: where the iteration begins, of any length.
        radius: ε, in units of the inputs.
        step: ξ of the finite difference, in units of the inputs.
        iterations: of the power method; 1 is the paper's.
    """
    log_p = logits.detach().log_softmax(1)
    direction = unit(noise)
    for _ in range(iterations):
        tried = (step * direction).detach().requires_grad_()
        (slope,) = torch.autograd.grad(divergence(log_p, predict(x.detach() + tried)), tried)
        direction = unit(slope)
    return divergence(log_p, predict(x + radius * direction))


def divergence(
    log_p: Float[Tensor, "rows k"], logits: Float[Tensor, "rows k"]
) -> Float[Tensor, ""]:
    """Mean Kullback-Leibler divergence of other predictions from p, in nats."""
    return kl_div(logits.log_softmax(1), log_p, log_target=True, reduction="batchmean")


def unit(x: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
    """Every row of length 1; none stays none."""
    flat = x.detach().flatten(1)
    length: Tensor = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    return (flat / length.clamp_min(1e-12)).view_as(x)
