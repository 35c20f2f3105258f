"""A scale and a bias for each class."""

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.calibrations.scaling import Scaling, fit_scaling
from da_framework.core.types import NonNegative


def vector(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], *, ridge: NonNegative) -> Scaling:
    r"""Vector scaling (VS): a scale and a bias for each class.

    .. math:: p \propto e^{a \odot z + b}, \qquad
        \min_{a, b} -\frac1n \sum_i \log p_{i y_i} + \frac{\rho \lVert b \rVert^2}{2n}

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    https://arxiv.org/abs/1706.04599
    Departures: a normal prior on the bias, and scales above 0, within bounds.

    Args:
        logits: of held-out source samples.
        y: their labels.
        ridge: ρ, of the prior; the paper has none.
    """
    return fit_scaling(logits, y, per_class=True, biased=True, ridge=ridge)
