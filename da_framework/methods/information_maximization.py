"""Certain and yet diverse predictions on the target."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Finite, NonNegative
from da_framework.losses.information import negative_mutual_information
from da_framework.methods.base import Base, Method
from da_framework.networks.network import Network


class InformationMaximization(Method):
    r"""Target predictions that tell the most of their inputs: each certain, all together diverse.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) - w \, r_p \left( H(\bar p) - \frac1m \sum_i H(p_i) \right),
        \qquad \bar p = \frac1m \sum_i p_i

    Entropy alone is least where one class takes all rows; the marginal's entropy forbids it.

    Shi, Sha, "Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain
    Adaptation", ICML 2012. https://arxiv.org/abs/1206.6438
    Departures: predictions are those of the head that learns from the source's labels, where the
    paper's come from soft nearest neighbours in a linear projection; the marginal is the
    batch's; the paper's term on the information of input and domain is left to methods that
    align. So it is used by Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020
    (https://arxiv.org/abs/2002.08546), there without source data.

    Args:
        network: encoder and head.
        task: classes, domains and rows.
        weight: w of the mutual information among the terms.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        ramp: Schedule | Finite,
        **base: Unpack[Base],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.ramp = as_schedule(ramp)

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = negative_mutual_information(target.logits)
        return {"information": Term(value, self.weight * self.ramp(self.progress))}
