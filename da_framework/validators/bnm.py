"""Nuclear norm of the target's predictions."""

from collections.abc import Mapping

import torch

from da_framework.core.batch import Outputs


def bnm(outputs: Mapping[str, Outputs]) -> float:
    r"""Batch nuclear norm of the target's predictions, as a share of its bound; in [0, 1].

    .. math:: \frac{\lVert P \rVert_*}{\sqrt{m \min(m, k)}}

    Large where predictions are certain and diverse at once: it expects classes of one size, which a
    target that is truly skewed does not have. Cui et al., "Towards Discriminability
    and Diversity: Batch Nuclear-norm Maximization", CVPR 2020, https://arxiv.org/abs/2003.12237;
    as a validator: Musgrave, Belongie, Lim, "Three New Validators and a Large-Scale Benchmark
    Ranking for Unsupervised Domain Adaptation", 2022. https://arxiv.org/abs/2208.07360

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    p = outputs["target"].logits.softmax(1)
    bound = (len(p) * min(p.shape)) ** 0.5
    nuclear_norm = float(torch.linalg.svdvals(p.double()).sum())
    return nuclear_norm / float(bound)
