"""A scale for each class."""

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.calibrations.scaling import Scaling, fit_scaling


def no_bias_vector(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Scaling:
    r"""No-bias vector scaling (NBVS): a scale for each class.

    .. math:: p \propto e^{a \odot z}, \qquad \min_{a} -\frac1n \sum_i \log p_{i y_i}

    ``vector`` without its bias, to see what the bias does. Alexandari, Kundaje, Shrikumar,
    "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation",
    ICML 2020. https://arxiv.org/abs/1901.06852
    Departure: scales are above 0, within bounds.

    Args:
        logits: of held-out source samples.
        y: their labels.
    """
    return fit_scaling(logits, y, per_class=True)
