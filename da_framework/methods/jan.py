"""Alignment of the joint distribution of features and predictions."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import Positive
from da_framework.losses.joint_mmd import joint_mmd
from da_framework.losses.mmd import bandwidths
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class JAN(RampedMethod):
    r"""Joint adaptation network: features and predictions are jointly distributed alike.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \mathrm{JMMD}^2, \qquad
        k\big((x, p), (x', p')\big) = k_1(x, x') \, k_2(p, p')

    JMMD is the MMD under the product of a kernel on features and one on softmax predictions.

    Long, Zhu, Wang, Jordan, "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017.
    https://arxiv.org/abs/1605.06636
    Departures: all pairs of samples, where the paper has an estimate in linear time; several
    kernels a layer, their widths relative to the batch. The adversarial variant, JAN-A, is not
    here.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms.
        ramp: r, a factor on the weight, as a function of progress.
        bandwidth: what the kernels' widths are relative to: the ``mean`` or ``median`` squared
            distance of the batch, in each of the two layers.
        factors: of the kernels, in both layers.
    """

    aligns: ClassVar = True
    factors: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        bandwidth: Literal["mean", "median"],
        factors: Annotated[list[Positive], Field(min_length=1)],
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.bandwidth: Literal["mean", "median"] = bandwidth
        self.register_buffer("factors", torch.tensor(factors))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        layers = [(side.features, side.logits.softmax(1)) for side in (source, target)]
        widths = [
            bandwidths(s, t, policy=self.bandwidth, factors=self.factors)
            for s, t in zip(*layers, strict=True)
        ]
        value = joint_mmd(*layers, bandwidths=widths)
        return {"joint_mmd": self.ramped(value)}
