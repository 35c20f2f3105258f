"""Alignment of each feature's distribution, by its central moments."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Count, Positive
from da_framework.losses.moments import central_moment_discrepancy
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class CMD(RampedMethod):
    r"""Central moment discrepancy (CMD): every feature has the same moments in both domains.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \left( \frac1s \lVert \bar S - \bar T \rVert
        + \sum_{k=2}^{K} \frac{1}{s^k} \lVert c_k(S) - c_k(T) \rVert \right)

    over the features S and T of the two domains, with the central moments :math:`c_k` taken
    element by element.

    Zellinger et al., "Central Moment Discrepancy (CMD) for Domain-Invariant Representation
    Learning", ICLR 2017, eq. 8. https://arxiv.org/abs/1702.08811
    The paper's features are sigmoids, in an interval of length s = 1. Departures, for features
    without bounds: they are taken in units of the batch's own interval, as a fixed s may make the
    fifth moment so large that it ends training; and there is a ramp, as the encoder of a network
    that is not trained yet finds it easiest to make every feature 0.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms; 1 is the paper's.
        ramp: r, a factor on the weight, as a function of progress; the paper has none.
        orders: K, how many moments; 5 is the paper's.
        span: s, the length of the interval that features lie in; ``None``: that of the batch.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        orders: Count,
        span: Positive | None,
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.orders = orders
        self.span = span

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = source.features, target.features
        value = central_moment_discrepancy(*features, orders=self.orders, span=self.span)
        return {"cmd": self.ramped(value)}
