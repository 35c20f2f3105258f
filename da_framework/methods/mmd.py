"""Alignment by the maximum mean discrepancy of the features."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Unpack

import torch
from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.quoting import override
from da_framework.core.types import Positive
from da_framework.losses.mmd import Bandwidth, MMDEstimator, bandwidths, gaussian, mmd
from da_framework.methods.ramped import RampedKeys, RampedMethod
from da_framework.networks.network import Network


class MMD(RampedMethod):
    r"""Maximum mean discrepancy: features whose domains have the same mean under many kernels.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \mathrm{MMD}_k^2 (f(S), f(T))

    Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015, eq. 4.
    https://arxiv.org/abs/1502.02791
    Departures: the features of one layer, not of several; kernels weigh the same, where the
    paper learns their weights; a ramp, without which a large weight collapses untrained features.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms.
        ramp: r, a factor on the weight, as a function of progress.
        estimator: ``biased``, ``unbiased`` or ``linear``.
        bandwidth: what the kernels' widths are relative to: the ``mean`` or ``median`` squared
            distance of the batch, or ``fixed``: the factors are the widths.
        factors: of the kernels; the paper's are 2^-8 to 2^8 around the median.
    """

    aligns: ClassVar = True
    factors: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        estimator: MMDEstimator,
        bandwidth: Bandwidth,
        factors: Annotated[list[Positive], Field(min_length=1)],
        **ramped: Unpack[RampedKeys],
    ) -> None:
        super().__init__(network, task, **ramped)
        self.estimator: MMDEstimator = estimator
        self.bandwidth: Bandwidth = bandwidth
        # of squared widths: twice the factor is √2 times the width
        doubling = all(wide == 2 * narrow for narrow, wide in pairwise(factors))
        self.geometric_bandwidths = doubling and bandwidth != "fixed"
        self.register_buffer("factors", torch.tensor(factors))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        widths = self.widths(source.features, target.features)
        value = mmd(
            source.features,
            target.features,
            bandwidths=widths,
            estimator=self.estimator,
            geometric_bandwidths=self.geometric_bandwidths,
        )
        return {"mmd": self.ramped(value)}

    def widths(self, source: Tensor, target: Tensor) -> Tensor:
        """σ of each kernel for these features."""
        return bandwidths(source, target, policy=self.bandwidth, factors=self.factors)

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        if "source" not in outputs:  # where dataset.val=0 holds none of it out
            return
        # samples of a file are often in order of class: some from everywhere
        source, target = (
            outputs[role].features[:: 1 + len(outputs[role].features) // 256]
            for role in ("source", "target")
        )
        # not by way of the Gram matrix, which cancels far from the origin
        nearest = torch.cdist(source, target, compute_mode="donot_use_mm_for_euclid_dist").square()
        largest = gaussian(nearest, self.widths(source, target)).max().item()
        if largest < 1e-6:
            fitted = override("method.factors", [0.5, 1.0, 2.0])
            mend = (
                f"method.bandwidth=mean {fitted} fits their widths to the features"
                if self.bandwidth == "fixed"
                else f"larger factors widen them: {fitted}"
            )
            yield (
                "the kernels see nothing: the largest value between source and target is "
                f"{largest:.0e}; {mend}"
            )
