"""The border between what is known and what is not."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from da_framework.core.types import Share


def unknown_boundary(logits: Float[Tensor, "rows k"], *, boundary: Share) -> Float[Tensor, ""]:
    r"""Boundary of the unknown: binary cross-entropy of the last class with a fixed share.

    .. math:: -\frac1m \sum_i \left( t \log p_{ik} + (1 - t) \log (1 - p_{ik}) \right)

    Least where every sample is unknown with probability t. Saito et al., "Open Set Domain
    Adaptation by Backpropagation", ECCV 2018. https://arxiv.org/abs/1804.10427

    Args:
        logits: the last column is the unknown's.
        boundary: t.
    """
    # p_k is a sigmoid of how far the last logit is above all others together
    margin = logits[:, -1] - logits[:, :-1].logsumexp(1)
    return -(boundary * logsigmoid(margin) + (1 - boundary) * logsigmoid(-margin)).mean()
