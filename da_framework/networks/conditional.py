"""Features and predictions joined into one, for discriminators that see both."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from da_framework.core.types import Count


class MultilinearMap(nn.Module):
    r"""The outer product of features and predictions, flattened: :math:`f \otimes p`.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018.
    https://arxiv.org/abs/1705.10667

    Args:
        inputs: width of the features.
        classes: width of the predictions.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.width = inputs * classes

    def forward(
        self, features: Float[Tensor, "rows d"], p: Float[Tensor, "rows k"]
    ) -> Float[Tensor, "rows dk"]:
        """The product of each sample's features and predictions."""
        return (features[:, :, None] * p[:, None, :]).flatten(1)


class RandomizedMap(nn.Module):
    r"""A random projection of the outer product that never makes it.

    .. math:: \frac{1}{\sqrt r} \, (R_f f) \odot (R_p p)

    Inner products are kept in expectation. The matrices are drawn once and kept in buffers.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, theorem 1.
    https://arxiv.org/abs/1705.10667

    Args:
        inputs: width of the features.
        classes: width of the predictions.
        width: r.
    """

    of_features: Tensor
    of_predictions: Tensor

    def __init__(self, inputs: int, classes: int, *, width: Count) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("of_features", torch.randn(inputs, width))
        self.register_buffer("of_predictions", torch.randn(classes, width))

    def forward(
        self, features: Float[Tensor, "rows d"], p: Float[Tensor, "rows k"]
    ) -> Float[Tensor, "rows r"]:
        """The product of each sample's features and predictions."""
        joined: Tensor = (features @ self.of_features) * (p @ self.of_predictions)
        return joined / float(self.width**0.5)


def conditional_map(inputs: int, classes: int, *, limit: Count) -> MultilinearMap | RandomizedMap:
    """The outer product; above a width the randomised one of that width.

    Args:
        inputs: width of the features.
        classes: width of the predictions.
        limit: the largest width; 4096 is the paper's.
    """
    if inputs * classes <= limit:
        return MultilinearMap(inputs, classes)
    return RandomizedMap(inputs, classes, width=limit)
