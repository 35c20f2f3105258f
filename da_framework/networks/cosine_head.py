"""A head that looks at the direction of features alone."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from da_framework.core.types import Positive


class CosineHead(nn.Linear):
    r"""Cosine head: linear in features of length 1, over a temperature.

    .. math:: z = \frac1T W \frac{f}{\lVert f \rVert}

    Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019.
    https://arxiv.org/abs/1904.06487

    Args:
        inputs: width of the features.
        classes: number of logits.
        temperature: T; .05 is the paper's.
    """

    def __init__(self, inputs: int, classes: int, *, temperature: Positive) -> None:
        super().__init__(inputs, classes, bias=False)
        self.temperature = temperature

    def forward(self, features: Float[Tensor, "rows d"]) -> Float[Tensor, "rows k"]:
        """Logits: cosines with each class's direction, over the temperature."""
        return super().forward(normalize(features)) / self.temperature
