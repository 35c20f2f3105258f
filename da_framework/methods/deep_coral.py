"""Alignment of the features' covariances."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Positive
from da_framework.losses.coral import coral, log_coral
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class DeepCORAL(RampedMethod):
    r"""Deep correlation alignment: features whose two domains have the same covariance.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w \, r_p}{4 d^2} \lVert C_S - C_T \rVert_F^2

    Sun, Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016
    workshops, eq. 1 and 6. https://arxiv.org/abs/1607.01719
    The metric ``log_euclidean`` is that of Morerio, Cavazza, Murino, "Minimal-Entropy Correlation
    Alignment for Unsupervised Deep Domain Adaptation", ICLR 2018. https://arxiv.org/abs/1711.10288
    Departures: the features are aligned, where the paper's experiments align the logits; a ramp,
    as a weight that suits trained features is too large for untrained ones.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the distance among the terms; for the division by 4 d² a large one.
        ramp: r, a factor on the weight, as a function of progress.
        metric: of covariances: ``euclidean`` or ``log_euclidean``.
        ridge: what ``log_euclidean`` adds to each variance.
    """

    aligns: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        metric: Literal["euclidean", "log_euclidean"],
        ridge: Positive,
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.metric: Literal["euclidean", "log_euclidean"] = metric
        self.ridge = ridge

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = source.features, target.features
        euclidean = self.metric == "euclidean"
        value = coral(*features) if euclidean else log_coral(*features, ridge=self.ridge)
        return {"coral": self.ramped(value)}
