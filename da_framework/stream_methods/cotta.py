"""A teacher that averages weights and views, and a student that is restored at random."""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.batch import as_input
from da_framework.core.types import Count, NonNegative, Share
from da_framework.datasets.augmentations import View
from da_framework.networks.frozen import Averaged, Frozen
from da_framework.stream_methods.base import MakeOptimizer, augment
from da_framework.stream_methods.bn_statistics import BNStatistics


class CoTTA(BNStatistics):
    r"""Continual test-time adaptation: a weight-averaged teacher, and stochastic restoring.

    .. math::
        \min_{\theta} \; -\frac1n \sum_i \sum_k \tilde y_{ik} \log p_{ik}(\theta), \qquad
        \theta \leftarrow m \odot \theta^0 + (1 - m) \odot \theta, \qquad
        \bar\theta \leftarrow \beta \bar\theta + (1 - \beta) \theta

    :math:`\tilde y` is the teacher's prediction; where the source model is unsure of the batch (its
    mean confidence is below a threshold), the mean over augmented views of it. m restores each
    weight of the student with a small probability. The teacher's predictions are given. With
    restoring of all weights it is the source model under the batch's statistics.

    Wang, Fink, Van Gool, Dai, "Continual Test-Time Domain Adaptation", CVPR 2022, eq. 2-8.
    https://arxiv.org/abs/2203.13591
    The defaults are the authors' for CIFAR-10-C: Adam at .001, β = .999, 32 views, a threshold of
    .92 and restoring with .01; theirs for ImageNet-C are .1 and .001.
    Departures: weights are restored before the teacher follows, so that what is restored is so for
    both; the mean is of probabilities, as in the paper, where their code has one of logits; views
    are those of the data set's augmentations.

    Pitfalls: each batch may pass the network as often as there are views; all weights are trained,
    of which there are three copies; what augmentation destroys (mirrored digits) the teacher
    teaches.

    Args:
        model: a run's trained method, whose network has batch norm.
        optimizer: of all weights of the network.
        prior: weight of training's statistics in samples: see ``bn_statistics``.
        view: how the teacher sees inputs another way.
        views: how many are averaged.
        confidence: of the source model, below which views are averaged.
        keep: β, the share of the teacher that is kept.
        restore: probability that a weight of the student is restored.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        prior: NonNegative,
        view: View,
        views: Count,
        confidence: Share,
        keep: Share,
        restore: Share,
    ) -> None:
        super().__init__(model, prior=prior)
        self.source, self.teacher = Frozen(self.model), Averaged(self.model)
        self.view, self.views, self.confidence = view, views, confidence
        self.keep, self.restore = keep, restore
        self.train_only(self.network.parameters(), optimizer)

    @torch.no_grad()
    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        plain = as_input(x)
        sure = self.source(plain)[1].softmax(1).amax(1).mean()
        if sure >= self.confidence:
            shares: Tensor = self.teacher(plain)[1].softmax(1)
            return shares
        seen = [self.teacher(augment(self.view, x))[1].softmax(1) for _ in range(self.views)]
        return torch.stack(seen).mean(0)

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        taught = self.predict(x)
        self.descend(-(taught * self.logits(x).log_softmax(1)).sum(1).mean())
        self.restore_some()
        self.teacher.follow(self.model, keep=self.keep)
        return taught

    @torch.no_grad()
    def restore_some(self) -> None:
        """Takes weights of the student back to the source's, each with the same probability."""
        sources = self.source.module.network.parameters()
        for weight, source in zip(self.trained, sources, strict=True):
            drawn = torch.rand(weight.shape, device=weight.device) < self.restore
            weight.copy_(torch.where(drawn, source, weight))
