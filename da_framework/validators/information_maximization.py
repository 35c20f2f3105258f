"""Predictions of the target that are certain and yet diverse."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs


def information_maximization(outputs: Mapping[str, Outputs]) -> float:
    r"""Mutual information of sample and predicted class on the target, in nats; in [0, log k].

    .. math:: H(\bar p) - \frac1m \sum_i H(p_i), \qquad \bar p = \frac1m \sum_i p_i

    A model that puts all samples in one class scores 0, the worst there is. Best where all classes
    are predicted equally often: of a target whose classes truly differ in size, 97 to 3, it
    prefers a model that is wrong. There ``iwcv``, ``dev`` and ``source_accuracy`` are safer.
    Shi, Sha, "Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain
    Adaptation", ICML 2012, eq. 4. https://arxiv.org/abs/1206.6438

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    log_p = outputs["target"].logits.log_softmax(1)
    p = log_p.exp()
    mean = p.mean(0)
    # xlogy: a class that nothing is put in has no entropy, not NaN
    return ((p * log_p).sum(1).mean() - mean.xlogy(mean).sum()).item()
