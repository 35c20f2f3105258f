"""Alignment of the features class by class."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Unpack

import torch
from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Positive
from da_framework.losses.class_mmd import class_mmd
from da_framework.losses.mmd import Bandwidth, bandwidths
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class DSAN(RampedMethod):
    r"""Deep subdomain adaptation network: each class has the same kernel mean in both domains.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w \, r_p}{|K|} \sum_{k \in K}
        \Big\lVert \sum_i w^S_{ik} \phi(f(x^S_i)) - \sum_j w^T_{jk} \phi(f(x^T_j)) \Big\rVert^2

    The weights of a class sum to 1: of source samples by their labels, of target samples in
    proportion to their predictions, which no gradient reaches.

    Zhu et al., "Deep Subdomain Adaptation Network for Image Classification", TNNLS 2021.
    https://arxiv.org/abs/2106.09388
    Departures: K are the classes that the batch has on both sides, not all; the mean of the kernels
    is taken, so that their number does not change the scale.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms.
        ramp: r, a factor on the weight, as a function of progress: early predictions are noise.
        bandwidth: what the kernels' widths are relative to: the ``mean`` or ``median`` squared
            distance of the batch, or ``fixed``: the factors are the widths.
        factors: of the kernels.
    """

    aligns: ClassVar = True
    factors: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        bandwidth: Bandwidth,
        factors: Annotated[list[Positive], Field(min_length=1)],
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.bandwidth: Bandwidth = bandwidth
        self.register_buffer("factors", torch.tensor(factors))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = class_mmd(
            source.features,
            target.features,
            y=source.y,
            p=target.logits.softmax(1),
            bandwidths=bandwidths(
                source.features, target.features, policy=self.bandwidth, factors=self.factors
            ),
        )
        return {"class_mmd": self.ramped(value)}
