"""Moment matching between several sources and the target."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.types import Count
from da_framework.losses.moments import moment_distance
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class M3SDA(RampedMethod):
    r"""Moment matching for multi-source domain adaptation: the sources have the target's moments.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \mathrm{MD}^2(f(S_1), \dots, f(S_N), f(T))

    MD² is the paper's name for a sum of distances, which are not squared.

    Peng et al., "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019, eq. 1.
    https://arxiv.org/abs/1812.01754
    Departures: one head for all sources, where the paper trains one each and weighs their votes,
    and so without the further step of M3SDA-β, which plays two heads a source against each other;
    a ramp, under which untrained features are not pulled together at once.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the distance among the terms.
        ramp: r, a factor on the weight, as a function of progress.
        orders: how many moments; 2 is the paper's.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        orders: Count,
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.orders = orders

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = moment_distance(
            both_features(source, target),
            torch.cat([source.domain, target.domain]),
            sources=self.task.sources,
            orders=self.orders,
        )
        return {"moments": self.ramped(value)}
