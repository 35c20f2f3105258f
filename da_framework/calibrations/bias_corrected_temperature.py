"""Temperature scaling with a bias for each class."""

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.calibrations.scaling import Scaling, fit_scaling
from da_framework.core.types import NonNegative


def bias_corrected_temperature(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], *, ridge: NonNegative
) -> Scaling:
    r"""Bias-corrected temperature scaling (BCTS): one temperature, and a bias for each class.

    .. math:: p \propto e^{z / T + b}, \qquad
        \min_{T > 0, b} -\frac1n \sum_i \log p_{i y_i} + \frac{\rho \lVert b \rVert^2}{2n}

    At the optimum of ρ = 0 the mean probability of each class is its share of the samples, which is
    what ``label_shift_correction=em`` needs. Alexandari, Kundaje, Shrikumar, "Maximum Likelihood
    with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    https://arxiv.org/abs/1901.06852
    Departures: a normal prior on the bias, and a bound on the temperature: a class with few
    samples, or a source without an error, would have no finite optimum.

    Args:
        logits: of held-out source samples.
        y: their labels.
        ridge: ρ, of the prior; the paper has none.
    """
    return fit_scaling(logits, y, biased=True, ridge=ridge)
