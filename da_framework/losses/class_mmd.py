"""Maximum mean discrepancy class by class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.losses import mmd


def class_mmd(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    y: Int[Tensor, " n"],
    p: Float[Tensor, "m k"],
    bandwidths: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    r"""Local maximum mean discrepancy: mean over classes of the squared MMD of weighted samples.

    .. math::
        \frac1{|K|} \sum_{c \in K} \Big\lVert \sum_i w^S_{ic} \phi(x^S_i)
            - \sum_j w^T_{jc} \phi(x^T_j) \Big\rVert^2, \qquad
        w^S_{ic} = \frac{[y_i = c]}{\sum_l [y_l = c]}, \quad
        w^T_{jc} = \frac{p_{jc}}{\sum_l p_{lc}}

    With one class it is the MMD; with certain predictions the mean of the classes' own. No gradient
    goes through p.

    Zhu et al., "Deep Subdomain Adaptation Network for Image Classification", TNNLS 2021.
    https://arxiv.org/abs/2106.09388
    Departure: K are the classes that some source sample has and some target sample is put in, where
    the paper has all; a class no sample has, has no mean. Without any the value is 0.

    Args:
        source, target: features of the two batches.
        y: labels of the source.
        p: predictions of the target.
        bandwidths: the widths σ of the Gaussian kernels, in units of the features.
    """
    p = p.detach()
    labels = one_hot(y, p.shape[1])
    shared = labels.any(0) & one_hot(p.argmax(1), p.shape[1]).any(0)
    sides = [side.to(torch.promote_types(source.dtype, torch.float)) for side in (labels, p)]
    w_source, w_target = (
        side / side.sum(0).clamp_min(torch.finfo(side.dtype).tiny) for side in sides
    )
    weights = torch.cat([w_source, -w_target]) * shared
    total = mmd.kernel_sum([source], [target], [bandwidths], lambda i, j: weights[i] @ weights[j].T)
    return total / shared.sum().clamp_min(1)
