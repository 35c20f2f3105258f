"""Temperature scaling."""

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.calibrations.scaling import Scaling, fit_scaling


def temperature(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Scaling:
    r"""Temperature scaling (TS): all logits are divided by one temperature.

    .. math:: p \propto e^{z / T}, \qquad \min_{T > 0} -\frac1n \sum_i \log p_{i y_i}

    No prediction changes. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    https://arxiv.org/abs/1706.04599

    Args:
        logits: of held-out source samples.
        y: their labels.
    """
    return fit_scaling(logits, y)
