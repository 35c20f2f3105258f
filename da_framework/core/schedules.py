r"""Coefficients, weights and learning rates as functions of the share of training done.

A schedule has no state: resumed at any step it gives the value it would have had.
"""

import math
from abc import ABC, abstractmethod

from da_framework.core.types import Finite, NonNegative, Positive, Share


class Schedule(ABC):
    """A number for every progress p in [0, 1]."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The value when this share of training is done."""


class Constant(Schedule):
    """The same value throughout."""

    def __init__(self, value: Finite) -> None:
        self.value = value

    def __call__(self, progress: float) -> float:
        return self.value


class Step(Schedule):
    r"""One value up to a share of training, another from there on.

    .. math:: \lambda_p = b \; \text{where} \; p < a, \quad \lambda_p = c \; \text{else}

    Args:
        at: share of training a, in [0, 1].
        before: the value b.
        after: the value c.
    """

    def __init__(self, at: Share, before: Finite, after: Finite) -> None:
        self.at = at
        self.before = before
        self.after = after

    def __call__(self, progress: float) -> float:
        return self.before if progress < self.at else self.after


class SigmoidRamp(Schedule):
    r"""From 0 smoothly up to (nearly) ``high``.

    .. math:: \lambda_p = h \left( \frac{2}{1 + e^{-\gamma p}} - 1 \right)

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, section 5.2.2 with
    γ = 10 and h = 1. https://arxiv.org/abs/1505.07818

    Args:
        gamma: steepness γ.
        high: what the ramp approaches, h.
    """

    def __init__(self, gamma: Positive, high: Finite) -> None:
        self.gamma = gamma
        self.high = high

    def __call__(self, progress: float) -> float:
        return self.high * (2 / (1 + math.exp(-self.gamma * progress)) - 1)


class InverseDecay(Schedule):
    r"""The learning-rate decay of the field, as a factor on the rate.

    .. math:: \mu_p = \frac{1}{(1 + \alpha p)^\beta}

    Ganin et al., JMLR 2016, section 5.2.2 with α = 10 and β = .75.

    Args:
        alpha: how soon, α.
        power: how far, β.
    """

    def __init__(self, alpha: NonNegative, power: NonNegative) -> None:
        self.alpha = alpha
        self.power = power

    def __call__(self, progress: float) -> float:
        return math.pow(1 + self.alpha * progress, -self.power)


class Cosine(Schedule):
    r"""From 1 to 0 along half a cosine.

    .. math:: \mu_p = \tfrac12 (1 + \cos \pi p)

    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, eq. 5
    without restarts. https://arxiv.org/abs/1608.03983
    """

    def __call__(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


def as_schedule(value: Schedule | float) -> Schedule:
    """A plain number means that number throughout."""
    return value if isinstance(value, Schedule) else Constant(value)
