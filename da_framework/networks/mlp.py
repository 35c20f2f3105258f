"""Fully connected layers, alone or as parts of other networks."""

from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from da_framework.core.types import Count, Fraction

Activation = Literal["relu", "sigmoid", "tanh"]
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def dense(
    widths: list[int], dropout: float, batch_norm: bool = False, activation: Activation = "relu"
) -> nn.Sequential:
    """For each step from a width to the next: linear, batch norm if asked for, then what follows.

    That is a nonlinearity and, if asked for, dropout.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers.append(nn.Linear(width, following))
        if batch_norm:
            layers.append(nn.BatchNorm1d(following))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class MLP(nn.Sequential):
    r"""Fully connected backbone over flattened inputs.

    Args:
        shape: of one input.
        widths: of the layers.
        dropout: after each of them.
        batch_norm: before each nonlinearity.
        activation: the nonlinearity.
        init: ``default``: torch's; or ``glorot``: weights uniform within
            :math:`\pm \sqrt{6 / (\text{inputs} + \text{outputs})}`, no bias. Glorot, Bengio,
            "Understanding the Difficulty of Training Deep Feedforward Neural Networks", AISTATS
            2010.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        widths: list[Count],
        dropout: Fraction,
        batch_norm: bool = False,
        activation: Activation = "relu",
        init: Literal["default", "glorot"] = "default",
    ) -> None:
        hidden = dense([prod(shape), *widths], dropout, batch_norm, activation)
        super().__init__(nn.Flatten(), *hidden)
        for layer in self.modules() if init == "glorot" else ():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


class Identity(nn.Flatten):
    """No backbone: the inputs are the features, flattened."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
