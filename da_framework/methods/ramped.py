"""Methods of one term whose weight follows a ramp."""

from typing import Unpack

from torch import Tensor

from da_framework.core.batch import Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Finite, NonNegative
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class RampedKeys(MethodKeys):
    """The keys of every method whose term has a weight and a ramp.

    Attributes:
        weight: w of the term.
        ramp: r, a factor on the weight, as a function of progress.
    """

    weight: NonNegative
    ramp: Schedule | Finite


class RampedMethod(Method):
    r"""A method that adds one term, whose weight a ramp multiplies.

    .. math:: \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \ell

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the term.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        ramp: Schedule | Finite,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.ramp = as_schedule(ramp)

    def ramped(self, value: Tensor) -> Term:
        """The term at this progress."""
        return Term(value, self.weight * self.ramp(self.progress))
