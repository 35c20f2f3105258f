"""Logits scaled and shifted so that labels are likeliest: what the calibrations here fit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAST_SCALE, MOST_SCALE = 0.01, 100.0
"""Bounds of a scale, in units of one over the deviation of all logits."""


@dataclass(frozen=True)
class Scaling:
    """Logits scaled and shifted, each class by numbers of its own.

    Attributes:
        scale: of each class; one over the temperature.
        bias: of each class.
    """

    scale: Float[Tensor, " k"]
    bias: Float[Tensor, " k"]

    def __call__(self, logits: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        """Calibrated logits, in double precision."""
        return self.scale.to(logits.device) * logits.double() + self.bias.to(logits.device)


def fit_scaling(
    logits: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    *,
    per_class: bool = False,
    biased: bool = False,
    ridge: float = 0.0,
) -> Scaling:
    r"""The scaling under which labels are likeliest.

    .. math:: \min_{a, b} -\frac1n \sum_i \log p_{i y_i} + \frac{\rho \lVert b \rVert^2}{2n},
        \qquad p_i = \mathrm{softmax}(a \odot z_i + b)

    Convex, so that it has one minimum; found by L-BFGS from the logits as they are. Scales are kept
    within bounds, since a source without an error would have no finite optimum.

    Args:
        logits: of held-out source samples.
        y: their labels.
        per_class: whether each class has a scale of its own.
        biased: whether classes have a bias; without, b is 0.
        ridge: ρ, of a normal prior on the bias: without one, a class with no sample would have no
            finite optimum.
    """
    from scipy.optimize import minimize

    z, labels = logits.double().cpu().numpy(), y.cpu().numpy()
    n, k = z.shape
    unit = max(float(z.std()), 1e-12)  # the unit of logits is of no account to the search
    z = z / unit
    scales = k if per_class else 1

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = parameters[:scales], parameters[scales:]
        shifted = a * z + b if biased else a * z
        shifted -= shifted.max(1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(1, keepdims=True)
        value = (np.log(total[:, 0]) - shifted[np.arange(n), labels]).mean() + ridge * b @ b / 2 / n
        p /= total
        p[np.arange(n), labels] -= 1
        of_scale = (p * z).sum(0) / n
        slope = of_scale if per_class else of_scale.sum(keepdims=True)
        return value, np.concatenate([slope, p.sum(0) / n + ridge * b / n] if biased else [slope])

    bounds: list[Any] = [(LEAST_SCALE, MOST_SCALE)] * scales + [(None, None)] * (k * biased)
    start = np.concatenate(
        [np.full(scales, np.clip(unit, LEAST_SCALE, MOST_SCALE)), np.zeros(k * biased)]
    )
    tight = {"ftol": 1e-13, "gtol": 1e-8, "maxiter": 1000}
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=tight).x
    scale = np.broadcast_to(fitted[:scales] / unit, (k,)).copy()
    bias = fitted[scales:] if biased else np.zeros(k)
    return Scaling(torch.as_tensor(scale), torch.as_tensor(bias))
