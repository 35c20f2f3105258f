"""Two classifiers whose clouds of predictions are brought together."""

from typing import Unpack

from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.types import Count, NonNegative
from da_framework.losses.discrepancy import sliced_wasserstein_discrepancy
from da_framework.methods.base import MethodKeys
from da_framework.methods.mcd import MCD
from da_framework.networks.network import Network


class SWD(MCD):
    r"""Sliced Wasserstein discrepancy: MCD that compares the heads' predictions along random lines.

    .. math::
        d(T) = \frac{1}{Sm} \sum_s \sum_i
        \left( (P_1 \theta_s)_{(i)} - (P_2 \theta_s)_{(i)} \right)^2, \qquad
        \theta_s \text{ uniform on the sphere}

    The discrepancy is a distance of distributions. The rows of :math:`P_1` and
    :math:`P_2` are the two heads' probabilities on the target, and each line's projections are
    sorted. The moves are those of MCD; lines are drawn anew for each.

    Lee et al., "Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation", CVPR 2019.
    https://arxiv.org/abs/1903.04064
    Departures: those of MCD; a mean over lines and samples.

    Args:
        network: encoder and one head; the other is made like it.
        task: classes, domains and samples.
        weight: w of the discrepancy in B and C.
        repeats: of C in a step.
        slices: S, how many lines.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        repeats: Count,
        slices: Count,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, weight=weight, repeats=repeats, **base)
        self.slices = slices

    def discrepancy(self, first: Tensor, second: Tensor) -> Tensor:
        # a normal vector's direction is uniform
        directions = self.normal(first.shape[1], self.slices, like=first)
        return sliced_wasserstein_discrepancy(first, second, directions=directions)
