"""Whether the target's predictions are those of its nearest source samples."""

from collections.abc import Mapping

import torch

from da_framework.core.batch import Outputs


def nearest_source(outputs: Mapping[str, Outputs]) -> float:
    r"""Nearest source: share of targets predicted as the nearest source sample is labelled.

    .. math:: \frac1m \sum_i [\arg\max_k z_{ik} = y_{j(i)}], \qquad
        j(i) = \arg\min_j \lVert f(t_i) - f(s_j) \rVert

    In [0, 1]. The judge is the one-nearest-neighbour rule of Cover, Hart, "Nearest neighbor pattern
    classification", IEEE Transactions on Information Theory 1967.
    https://doi.org/10.1109/TIT.1967.1053964
    Fooled by features that have collapsed to one class on both sides.

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source, target = outputs["source"], outputs["target"]
    nearest = torch.cdist(target.features, source.features).argmin(1)
    return (target.logits.argmax(1) == source.y[nearest]).float().mean().item()
