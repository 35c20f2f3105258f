"""Accuracy on held-out source samples."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs


def source_accuracy(outputs: Mapping[str, Outputs]) -> float:
    r"""Source accuracy: share of held-out source samples classified correctly; in [0, 1].

    .. math:: \frac1n \sum_i [\arg\max_k z_{ik} = y_i]

    Blind to the target, and yet hard to beat: Musgrave, Belongie, Lim, "Three New Validators and a
    Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022.
    https://arxiv.org/abs/2208.07360

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source = outputs["source"]
    return (source.logits.argmax(1) == source.y).float().mean().item()
