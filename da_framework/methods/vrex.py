"""Risk extrapolation by the variance of the sources' risks."""

from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.losses.invariance import risk_variance
from da_framework.methods.penalized_generalization import PenalizedGeneralization


class VREx(PenalizedGeneralization):
    r"""Variance risk extrapolation (V-REx): the risk is the same in every source.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, \frac1E \sum_e (R_e - \bar R)^2

    Where risks are equal on sources that differ, they stay so on domains that differ further in
    the same direction. w is 1 at first and then large (``weight``: a step); once it is above 1 the
    whole loss is divided by it.

    Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation (REx)", ICML 2021,
    eq. 8. https://arxiv.org/abs/2003.00688
    Departure: beside the penalty stands the mean of the risks, where eq. 8 has their sum. Sources
    of which one is noisier than the other have risks that should differ: there it pulls all to the
    level of the noisiest.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the penalty; a number, or a function of progress.
        l2: of the squared norm of all weights, within what a large w divides.
    """

    def penalty(self, source: Outputs) -> Float[Tensor, ""]:
        return risk_variance(self.risks(source))
