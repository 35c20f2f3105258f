"""How uncertain predictions are."""

from jaxtyping import Float
from torch import Tensor


def entropy(logits: Float[Tensor, "rows k"]) -> Float[Tensor, ""]:
    r"""Mean entropy of the predictions, in nats; in [0, log k].

    .. math:: -\frac1n \sum_i \sum_k p_{ik} \log p_{ik}

    Grandvalet, Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004, eq. 4.
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization

    Args:
        logits: of samples whose labels are not known.
    """
    return row_entropy(logits).mean()


def row_entropy(logits: Float[Tensor, "rows k"]) -> Float[Tensor, " rows"]:
    """Entropy of each sample's prediction, in nats."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)
