"""Whether the target's predictions are those of its nearest source samples."""

from collections.abc import Mapping

import torch

from da_framework.core.batch import Outputs, every_kth, row_blocks


def nearest_source(outputs: Mapping[str, Outputs]) -> float:
    r"""Nearest source: share of targets predicted as the nearest source sample is labelled.

    .. math:: \frac1m \sum_i [\arg\max_k z_{ik} = y_{j(i)}], \qquad
        j(i) = \arg\min_j \lVert f(t_i) - f(s_j) \rVert

    In [0, 1]. Of source samples that are equally near, each counts alike: features that are all
    equal tell nothing, and score what the source's labels do by chance. The judge is the
    one-nearest-neighbour rule of Cover, Hart, "Nearest neighbor pattern classification", IEEE
    Transactions on Information Theory 1967. https://doi.org/10.1109/TIT.1967.1053964
    Of more than 16384 samples of a side every k-th is taken.
    Fooled by features that have collapsed to one class on both sides, if not to one point.

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source, target = outputs["source"], outputs["target"]
    predicted, y = every_kth(target.logits).argmax(1), every_kth(source.y)
    features, of_source = every_kth(target.features), every_kth(source.features)
    shares = []
    for rows in row_blocks(len(predicted), len(y)):
        distances = torch.cdist(features[rows], of_source)
        nearest = distances == distances.amin(1, keepdim=True)
        agreeing = nearest & (predicted[rows, None] == y)
        shares.append(agreeing.sum(1) / nearest.sum(1))
    return torch.cat(shares).mean().item()
