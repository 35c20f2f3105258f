"""The target's class shares without its labels, where the shares alone have shifted."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

SharesEstimate = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Class shares of the target: of the source's probabilities, its labels, the target's
probabilities."""
EM_STEPS = 10_000
"""Steps of EM after which the shares are taken as they are."""
LEAST_PROBABILITY = 1e-12


class ShareInterval(NamedTuple):
    """Class shares, with a bootstrap interval of each; fractions of 1.

    Attributes:
        shares: estimated of all samples.
        low: ends of the intervals.
        high: the others.
    """

    shares: Float[Tensor, " k"]
    low: Float[Tensor, " k"]
    high: Float[Tensor, " k"]


def bbse(
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    mode: Literal["hard", "soft"],
) -> Float[Tensor, " k"]:
    r"""Black-box shift estimation: the class shares that explain how often each is predicted.

    .. math:: q_j \propto \max(w_j, 0) \, p_S(y = j), \qquad
        \hat C w = \hat\mu, \quad
        \hat C_{ij} = p_S(\hat y = i, y = j), \quad
        \hat\mu_i = p_T(\hat y = i)

    ``soft`` takes mean probabilities in the place of how often a class is predicted. Needs no
    calibrated model, only one that confuses classes alike on both sides. Lipton, Wang, Smola,
    "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018.
    https://arxiv.org/abs/1802.03916
    Departures: shares are scaled to sum 1; of a singular matrix the pseudo-inverse is taken. A
    class without a source sample has no share.

    Args:
        source: probabilities of held-out source samples.
        y: their labels.
        target: probabilities of target samples.
        mode: ``hard`` or ``soft``.
    """
    k = source.shape[1]
    if mode == "hard":
        source, target = (torch.eye(k)[p.argmax(1).cpu()].to(p) for p in (source, target))
    source, target = source.double(), target.double()
    of_class = torch.eye(k, dtype=source.dtype, device=source.device)[y]
    joint = source.T @ of_class / len(y)
    w = torch.linalg.pinv(joint) @ target.mean(0)
    return normalised(w.clamp_min(0) * of_class.mean(0))


def mlls(
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    tolerance: float = 1e-8,
) -> Float[Tensor, " k"]:
    r"""Maximum-likelihood label shift: the class shares under which the target is likeliest, by EM.

    .. math:: q_j \leftarrow \frac1m \sum_i
        \frac{p_{ij} \, q_j / p_S(y = j)}{\sum_l p_{il} \, q_l / p_S(y = l)}

    From the source's shares on, until no share moves by more than the tolerance. The likelihood is
    concave: there is one maximum. Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a
    Classifier to New a Priori Probabilities: A Simple Procedure", Neural Computation 2002.
    https://doi.org/10.1162/089976602753284446
    More precise than ``bbse`` where the probabilities are calibrated on the source, and off where
    they are not: Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected
    Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020. https://arxiv.org/abs/1901.06852
    ``calibrate`` does it. A class without a source sample has no share.

    Args:
        source: probabilities of held-out source samples; of them the number of classes alone.
        y: their labels.
        target: probabilities of target samples.
        tolerance: of each share.
    """
    prior = torch.bincount(y, minlength=source.shape[1]).double() / len(y)
    likelihood = target.double().clamp_min(LEAST_PROBABILITY)
    likelihood = torch.where(prior > 0, likelihood / prior.clamp_min(LEAST_PROBABILITY), 0.0)
    q = prior
    for _ in range(EM_STEPS):
        joint = likelihood * q
        last, q = q, (joint / joint.sum(1, keepdim=True)).mean(0)
        if (q - last).abs().max() <= tolerance:
            break
    return q


def calibrate(
    source: Float[Tensor, "n k"], y: Int[Tensor, " n"], target: Float[Tensor, "m k"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]]:
    r"""Bias-corrected temperature scaling: logits of both sides as calibrated probabilities.

    .. math:: p \propto e^{a z + b}, \qquad
        \min_{a > 0, b} -\frac1n \sum_i \log p_{i y_i} + \frac{\lVert b \rVert^2}{2n}

    Fitted to held-out source samples. Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with
    Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    https://arxiv.org/abs/1901.06852
    Departures: a normal prior on the bias, and :math:`a \in [.01, 100]`: a class with few samples,
    or a source without an error, would have no finite optimum.

    Args:
        source: logits of held-out source samples.
        y: their labels.
        target: logits of target samples.
    """
    from scipy.optimize import minimize

    z, k = source.double().cpu().numpy(), source.shape[1]
    # the unit of logits is of no account to the search
    unit = max(float(z.std()), 1e-12)
    of_class = np.eye(k)[y.cpu().numpy()]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = np.exp(parameters[0]), parameters[1:]
        logits = a * z / unit + b
        logits -= logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        slope = (np.exp(log_p) - of_class) / len(z)
        value = -(of_class * log_p).sum() / len(z) + b @ b / (2 * len(z))
        return value, np.concatenate([[a * (slope * z).sum() / unit], slope.sum(0) + b / len(z)])

    bounds = [(np.log(0.01), np.log(100.0)), *[(None, None)] * k]
    start = np.concatenate([[np.log(np.clip(unit, 0.01, 100.0))], np.zeros(k)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    a, b = float(np.exp(found[0])) / unit, torch.as_tensor(found[1:], device=source.device)
    p_source, p_target = ((a * side.double() + b).softmax(1) for side in (source, target))
    return p_source, p_target


def bootstrap_shares(
    estimate: SharesEstimate,
    source: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    target: Float[Tensor, "m k"],
    *,
    draws: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> ShareInterval:
    """Class shares with percentile intervals over samples of both sides drawn with replacement.

    Each interval is of one class, and knows of the samples alone: not of a shift that is more than
    one of the shares. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of
    Statistics 1979. https://doi.org/10.1214/aos/1176344552

    Args:
        estimate: of the shares.
        source: probabilities of held-out source samples.
        y: their labels; every class is drawn as often as it is there.
        target: probabilities of target samples.
        draws: how many.
        level: share of the draws that an interval holds.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    members = [(y == label).nonzero()[:, 0].cpu() for label in range(source.shape[1])]

    def draw(rows: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        return rows[torch.randint(max(len(rows), 1), (len(rows),), generator=generator)]

    every, estimates = torch.arange(len(target)), []
    for _ in range(draws):
        i = torch.cat([draw(rows) for rows in members]).to(y.device)
        estimates.append(estimate(source[i], y[i], target[draw(every).to(target.device)]))
    drawn = torch.stack(estimates)
    low, high = (drawn.quantile(end, dim=0) for end in ((1 - level) / 2, (1 + level) / 2))
    return ShareInterval(estimate(source, y, target), low, high)


def accuracy_in_shares(
    predicted: Int[Tensor, " n"], y: Int[Tensor, " n"], shares: Float[Tensor, " k"]
) -> float:
    r"""Accuracy of predictions if the classes had other shares; a fraction of 1.

    .. math:: \sum_j q_j \, p(\hat y = j \mid y = j)

    Args:
        predicted: classes.
        y: labels.
        shares: of each class; none of a class that no label has.
    """
    k = len(shares)
    members, right = (torch.bincount(of, minlength=k) for of in (y, y[predicted == y]))
    return float((shares * right / members.clamp_min(1)).sum())


def normalised(values: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """The values scaled to sum 1; equal ones where all are 0."""
    total = values.sum()
    return values / total if total > 0 else torch.full_like(values, 1 / len(values))
