"""How far a prediction can be moved by a small change of its input."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div


def virtual_adversarial(
    predict: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows ..."],
    *,
    noise: Float[Tensor, "rows ..."],
    radius: float | Float[Tensor, "rows 1"],
    iterations: int = 1,
) -> Float[Tensor, ""]:
    r"""Virtual adversarial loss: mean divergence of predictions at samples and the worst near them.

    .. math::
        \frac1n \sum_i \mathrm{KL}\left( p(x_i) \,\Vert\, p(x_i + r_i) \right), \qquad
        r_i = \epsilon \, \frac{g_i}{\lVert g_i \rVert}, \quad
        g_i = \nabla_{d} \, \mathrm{KL}\left( p(x_i) \,\Vert\, p(x_i + d) \right)
        \Big|_{d = \xi u_i}

    Near a sample the divergence is a quadratic form; each :math:`g_i` is one power iteration from
    :math:`u_i` towards the eigenvector that is moved most. Neither :math:`r_i` nor
    :math:`p(x_i)` has a gradient.

    Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and
    Semi-Supervised Learning", TPAMI 2018. https://arxiv.org/abs/1704.03976
    The paper's ξ is 1e-6; here it is the root of the precision, for which the rounding and the
    curvature of a difference are alike. Never in half precision, whatever autocast says.

    Args:
        predict: logits of inputs, the same for the same input, and of each sample by itself: no
            dropout and no statistics of the batch.
        x: inputs.
        noise: where the power iteration begins: standard normal, like x.
        radius: ε, the Euclidean length of each :math:`r_i`; of all, or by sample.
        iterations: of the power method.
    """
    step = torch.finfo(x.dtype).eps ** 0.5
    with torch.autocast(x.device.type, enabled=False):
        with torch.no_grad():
            expected = predict(x).log_softmax(1)

        def divergence(change: Tensor) -> Tensor:
            moved = predict(x + change).log_softmax(1)
            return kl_div(moved, expected, reduction="sum", log_target=True)

        direction = unit(noise)
        for _ in range(iterations):
            probe = (step * direction).requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(divergence(probe), probe)
            direction = unit(gradient)
        return divergence(radius * direction) / len(x)


def unit(x: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
    """Every sample at length 1; one of zeros stays."""
    flat = x.flatten(1)
    # first by the largest: squares of small gradients would underflow
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    length = flat.square().sum(1, keepdim=True).sqrt()
    # the largest being 1, only a sample of zeros is shorter
    return (flat / length.clamp_min(1)).view_as(x)
