"""What predictions tell of their inputs."""

import math

from jaxtyping import Float
from torch import Tensor

from da_framework.losses.entropy import entropy


def negative_mutual_information(logits: Float[Tensor, "rows k"]) -> Float[Tensor, ""]:
    r"""Minus the mutual information of sample and predicted class, in nats; in [-log k, 0].

    .. math:: \frac1n \sum_i H(p_i) - H(\bar p), \qquad \bar p = \frac1n \sum_i p_i

    Least where every prediction is certain and all classes are predicted equally often; 0 where
    all samples are predicted alike.

    Shi, Sha, "Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain
    Adaptation", ICML 2012. https://arxiv.org/abs/1206.6438

    Args:
        logits: of samples whose labels are not known.
    """
    return entropy(logits) + negative_entropy_of_mean(logits)


def negative_entropy_of_mean(logits: Float[Tensor, "rows k"]) -> Float[Tensor, ""]:
    r"""Minus the entropy of the mean prediction, in nats; in [-log k, 0].

    .. math:: -H(\bar p), \qquad \bar p = \frac1n \sum_i p_i

    But for log k it is the divergence of the mean prediction from equal shares of the classes.

    Args:
        logits: of samples whose labels are not known.
    """
    # a mean of logarithms: a class that nothing is put in must not give the logarithm of 0
    log_mean = logits.log_softmax(1).logsumexp(0) - math.log(len(logits))
    return (log_mean.exp() * log_mean).sum()
