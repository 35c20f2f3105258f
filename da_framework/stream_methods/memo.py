"""One sample at a time: predictions of its views are made to agree."""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.batch import as_input
from da_framework.core.types import Count
from da_framework.datasets.augmentations import View
from da_framework.stream_methods.base import MakeOptimizer, StreamMethod, augment


class MEMO(StreamMethod):
    r"""Marginal entropy minimization with one test point: views of a sample are made to agree.

    .. math::
        \min_{\theta} \; H(\bar p), \qquad \bar p = \frac1B \sum_{b=1}^{B} p(a_b(x); \theta)

    One step from the source's weights for each sample, which is then predicted; afterwards they are
    the source's again. So order and size of the batches change nothing but the views that are
    drawn. At rate 0 it is the source model, or, with ``average``, the mean over the views.

    Zhang, Levine, Finn, "MEMO: Test Time Robustness via Adaptation and Augmentation", NeurIPS 2022,
    eq. 2-3, algorithm 1. https://arxiv.org/abs/2110.09506
    The defaults are the authors' for CIFAR-10: 32 views, SGD at .005.
    Departures: views are those of the data set's augmentations in the place of AugMix; batch norm
    keeps the source's statistics.

    Pitfalls: by far the slowest, a training step of B views for each sample; views that change what
    a sample is of make it worse than the source model.

    Args:
        model: a run's trained method.
        optimizer: of all weights of the network.
        view: how a sample is seen another way.
        views: B.
        average: whether the mean over the views is given, in the place of the sample's own
            prediction.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        view: View,
        views: Count,
        average: bool,
    ) -> None:
        super().__init__(model)
        self.view, self.views, self.average = view, views, average
        self.train_only(self.network.parameters(), optimizer)

    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.predict_then_adapt(x)  # of which nothing stays

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        begun = [weight.detach().clone() for weight in self.trained]
        return torch.cat([self.predict_one(sample[None], begun) for sample in x])

    def predict_one(self, x: Num[Tensor, "1 ..."], begun: list[Tensor]) -> Float[Tensor, "1 k"]:
        """The prediction of a sample; afterwards weights are what they were.

        Args:
            x: the sample.
            begun: the weights before.
        """
        assert self.optimizer is not None
        seen = augment(self.view, as_input(x).repeat(self.views, *[1] * (x.dim() - 1)))
        mean = self.logits(seen).softmax(1).mean(0)
        self.descend(torch.special.entr(mean).sum())
        with torch.no_grad():
            given = self.logits(seen if self.average else x).softmax(1).mean(0, keepdim=True)
            for weight, before in zip(self.trained, begun, strict=True):
                weight.copy_(before)
        self.optimizer.state.clear()
        return given
