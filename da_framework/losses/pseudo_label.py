"""Learning from one's own predictions as if they were labels."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy


def pseudo_label(logits: Float[Tensor, "rows k"], *, threshold: float) -> Float[Tensor, ""]:
    r"""Pseudo-label loss: cross-entropy with the class that is predicted first, where it is sure.

    .. math::
        -\frac1n \sum_i \mathbb 1[\max_k p_{ik} \ge \tau] \, \log p_{i \hat y_i}, \qquad
        \hat y_i = \arg\max_k p_{ik}

    A mean over all samples, the unsure ones as 0. No gradient goes through label or choice.

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
    Networks", ICML Workshop on Challenges in Representation Learning 2013; τ = 0 is the paper's.

    Args:
        logits: of samples whose labels are not known.
        threshold: τ, in [0, 1].
    """
    confidence, labels = logits.detach().softmax(1).max(1)
    costs = cross_entropy(logits, labels, reduction="none")
    return (costs * (confidence >= threshold)).mean()
