"""Confidence that remains when predictions must have the source's class shares."""

from collections.abc import Mapping
from importlib.util import find_spec

import torch

from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.losses.transport import optimal_coupling


def cot(outputs: Mapping[str, Outputs]) -> float:
    r"""Confidence optimal transport: mean probability of labels in the source's shares; in [0, 1].

    .. math:: 1 - \min_\gamma \sum_{ij} \gamma_{ij} \lVert p_i - e_j \rVert_\infty
        = \max_\gamma \sum_{ij} \gamma_{ij} \, p_{ij}, \qquad
        \sum_j \gamma_{ij} = \tfrac1m, \; \sum_i \gamma_{ij} = \tfrac1n \sum_l [y_l = j]

    Average confidence if each sample may have its likeliest class, which makes it a bound: never
    more than ``ac``, and as much where the predicted shares are the source's. A model that puts
    too many samples in some classes is so found out, if the target has the source's shares.
    Lu et al., "Characterizing Out-of-Distribution Error via Optimal Transport", NeurIPS 2023.
    https://arxiv.org/abs/2305.15640
    Departures: the shares are those of the held-out source, where the paper draws as many labels
    from them as there are samples; no temperature is fitted beforehand. The paper's second estimate
    (COTT) puts the threshold of ``atc`` on the cost of each sample.

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).

    Raises:
        InputError: POT is not installed.
    """
    if find_spec("ot") is None:
        raise InputError("accuracy_estimator=cot needs POT: pip install 'da_framework[ot]'")
    source, target = outputs["source"], outputs["target"]
    shares = torch.bincount(source.y, minlength=source.logits.shape[1]).double() / len(source.y)
    p = target.logits.double().softmax(1)[:, shares > 0]
    mean = (optimal_coupling(1 - p, column_mass=shares[shares > 0]) * p).sum().item()
    return min(mean, 1.0)  # which rounding may exceed
