"""Hard labels of the plain target train the target strongly augmented."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Share
from da_framework.losses.consistency import hard_consistency
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class FixMatch(Method):
    r"""FixMatch: what is surely predicted of a target sample is its label once it is distorted.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w}{m} \sum_i
        \mathbb 1[\max_k q_{ik} \ge \tau] \, H(\hat q_i, \, p(\mathcal A(t_i)))

    q are the predictions of the target as it is, :math:`\mathcal A` is the distortion that
    ``dataset.strong`` names.

    Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
    NeurIPS 2020, eq. 4. https://arxiv.org/abs/2001.07685
    Departures: the unlabelled samples are the target's; the weak view is the sample as it is, where
    the paper flips and shifts it, and the labelled samples are not augmented; evaluated are the
    weights themselves, not their moving average.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w; 1 is the paper's.
        threshold: τ; .95 is the paper's.
    """

    roles: ClassVar = ("source", "target", "target_strong")
    exempt_from: ClassVar = {
        "terms_learn_from_what_they_read": "the sample as it is gives labels, and learns from none"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        threshold: Share,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.threshold = threshold

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        strong, plain = outputs["target_strong"].logits, outputs["target"].logits
        value = hard_consistency(strong, plain, threshold=self.threshold)
        return {"consistency": Term(value, self.weight)}
