"""The other player of adversarial methods."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from da_framework.core.types import Count
from da_framework.networks.mlp import dense


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, coefficient: float) -> Tensor:
        ctx.coefficient = coefficient  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.coefficient * gradients[0], None


def reverse_gradient(x: Float[Tensor, "*shape"], coefficient: float) -> Float[Tensor, "*shape"]:
    r"""The identity forward; backward the gradient times :math:`-\lambda`.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, eq. 17-18.
    https://arxiv.org/abs/1505.07818

    Args:
        x: any tensor.
        coefficient: λ.
    """
    return _Reversal.apply(x, coefficient)  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """Tells source from target: hidden layers with ReLU, then one logit (positive means source).

    Without hidden layers it begins at 0, and pulls at nothing before it has learnt something: Ganin
    et al., algorithm 1.

    Args:
        inputs: width of the features.
        hidden: widths of the hidden layers.
    """

    def __init__(self, inputs: int, hidden: list[Count]) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        last = nn.Linear(widths[-1], 1)
        self.layers = nn.Sequential(*dense(widths, dropout=0.0), last)
        if not hidden:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, features: Float[Tensor, "rows d"]) -> Float[Tensor, " rows"]:
        logits: Tensor = self.layers(features)
        return logits.squeeze(1)


class DomainClassifier(nn.Sequential):
    """Tells several domains apart: hidden layers with ReLU, then a logit for each domain.

    Args:
        inputs: width of the features.
        hidden: widths of the hidden layers.
        domains: how many there are.
    """

    def __init__(self, inputs: int, hidden: list[Count], domains: int) -> None:
        widths = [inputs, *hidden]
        super().__init__(*dense(widths, dropout=0.0), nn.Linear(widths[-1], domains))
