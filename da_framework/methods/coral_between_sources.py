"""Alignment of the sources' covariances."""

from da_framework.methods.between_sources import BetweenSources
from da_framework.methods.deep_coral import DeepCORAL


class CORALBetweenSources(BetweenSources, DeepCORAL):
    r"""Correlation alignment between sources: the features of every two have the same covariance.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w \, r_p}{\lvert P \rvert} \sum_{(a, b) \in P}
        \frac{1}{4 d^2} \lVert C_a - C_b \rVert_F^2

    Sun, Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016
    workshops, between all pairs P of sources, as in Gulrajani, Lopez-Paz, "In Search of Lost Domain
    Generalization", ICLR 2021. https://arxiv.org/abs/2007.01434
    Departure: the means are not aligned, as DomainBed's are beside the covariances.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the distance among the terms; for the division by 4 d² a large one.
        ramp: r, a factor on the weight, as a function of progress.
        metric: of covariances: ``euclidean`` or ``log_euclidean``.
        ridge: what ``log_euclidean`` adds to each variance.
    """
