"""Training on one's own labels of the target."""

from collections.abc import Mapping
from typing import Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Share
from da_framework.losses.pseudo_label import pseudo_label
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class PseudoLabel(RampedMethod):
    r"""Pseudo-labelling: the class predicted for a target sample is its label, anew every step.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \frac1m \sum_i
        \mathbb 1[\max_k p_{ik} \ge \tau] \left( -\log p_{i \hat y_i} \right), \qquad
        \hat y_i = \arg\max_k p_{ik}

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
    Networks", ICML Workshop on Challenges in Representation Learning 2013.
    https://www.semanticscholar.org/paper/798d9840d2439a0e5d47bcf5d164aa46d5e7dc26
    Departures: only predictions at or above a threshold count, as later work has it (τ = 0 is
    the paper's); the ramp is the field's sigmoid, where the paper's is 0 at first and then linear.
    Alone it gains nothing on either task of ``experiments/method_gains``: its labels are as wrong
    as the head that makes them, and across a shift the head is sure of its mistakes, which are
    confirmed. It is meant to follow a method that aligns.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the pseudo-labels' loss among the terms; 3 is the paper's.
        threshold: τ, the least probability of the predicted class that counts.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        threshold: Share,
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.threshold = threshold

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = pseudo_label(target.logits, threshold=self.threshold)
        return {"pseudo_label": self.ramped(value)}
