"""Fully connected layers, alone or as parts of other networks."""

from itertools import pairwise
from math import prod

from torch import nn

from da_framework.ranges import Count, Fraction


def dense(widths: list[int], dropout: float, batch_norm: bool = False) -> nn.Sequential:
    """Linear, batch norm if asked for, ReLU and dropout for each step from a width to the next."""
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers.append(nn.Linear(width, following))
        if batch_norm:
            layers.append(nn.BatchNorm1d(following))
        layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class MLP(nn.Sequential):
    """Fully connected backbone over flattened inputs.

    Args:
        shape: of one input.
        widths: of the layers.
        dropout: after each of them.
        batch_norm: before each nonlinearity.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        widths: list[Count],
        dropout: Fraction,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(nn.Flatten(), *dense([prod(shape), *widths], dropout, batch_norm))


class Identity(nn.Flatten):
    """No backbone: the inputs are the features, flattened."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
