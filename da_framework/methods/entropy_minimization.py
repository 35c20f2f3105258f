"""Certain predictions on the target."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Finite, NonNegative
from da_framework.losses.entropy import entropy
from da_framework.methods.base import Base, Method
from da_framework.networks.network import Network


class EntropyMinimization(Method):
    r"""Target predictions of low entropy: boundaries where there is little data.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \frac1m \sum_i H(p_i), \qquad
        H(p) = -\sum_k p_k \log p_k

    Grandvalet, Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004.
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization
    Departures: the unlabelled rows are another domain's; means over each role's rows, where the
    paper has sums over all; a ramp, without which the predictions of an untrained head are
    sharpened.
    Alone it gains nothing on either task of ``experiments/method_gains``: it sharpens whatever is
    predicted, mistakes as well, moves no feature towards the source, and is content with all rows
    in one class. Where predictions start right it keeps them so.

    Args:
        network: encoder and head.
        task: classes, domains and rows.
        weight: w of the entropy among the terms.
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
        return {"entropy": Term(entropy(target.logits), self.weight * self.ramp(self.progress))}
