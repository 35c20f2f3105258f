"""Certainty of the target's predictions."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs


def entropy(outputs: Mapping[str, Outputs]) -> float:
    r"""Negative mean entropy of the target's predictions, in nats; in [-log k, 0].

    .. math:: \frac1m \sum_i \sum_k p_{ik} \log p_{ik}

    Fooled by a model that is certain and wrong: all samples in one class score 0, the best there
    is. Morerio, Cavazza, Murino, "Minimal-Entropy Correlation Alignment for Unsupervised Deep
    Domain Adaptation", ICLR 2018, section 4. https://arxiv.org/abs/1711.10288

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    log_p = outputs["target"].logits.log_softmax(1)
    return (log_p.exp() * log_p).sum(1).mean().item()
